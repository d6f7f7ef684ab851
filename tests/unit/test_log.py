"""RUST_LOG, and a log file that survives rotation."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from s3server import log

DIRECTIVES = {
    "": {"": logging.INFO},
    "info": {"": logging.INFO},
    "WARN": {"": logging.WARNING},
    "error": {"": logging.ERROR},
    "debug": {"": logging.DEBUG},
    "trace": {"": log.TRACE},
    "off": {"": log.OFF},
    "curvine_s3_gateway::auth=debug": {"": logging.INFO, "curvine_s3_gateway.auth": logging.DEBUG},
    "info, curvine_s3_gateway::auth=trace ,": {"": logging.INFO, "curvine_s3_gateway.auth": log.TRACE},
    "warn,hyper=off": {"": logging.WARNING, "hyper": log.OFF},
}


@pytest.mark.parametrize("text", DIRECTIVES)
def test_levels(text: str) -> None:
    assert log.levels(text) == DIRECTIVES[text]


@pytest.mark.parametrize("text", ["loud", "=debug", "a::b", "a=loud", "info,a b=debug", "a:b=debug", "5"])
def test_wrong_levels(text: str) -> None:
    with pytest.raises(ValueError):
        log.levels(text)


def run(code: str, rust_log: str = "") -> subprocess.CompletedProcess[str]:
    prelude = "import logging, os, sys; from pathlib import Path; from s3server import log\n"
    command = [sys.executable, "-c", prelude + code]
    root = Path(__file__).parents[2]
    environ = {"RUST_LOG": rust_log, "PYTHONPATH": str(root)}
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)


def test_lines_go_to_standard_error_with_time_level_and_target() -> None:
    code = """
log.setup(os.environ, None)
auth, store = (logging.getLogger(f"curvine_s3_gateway.{n}") for n in ("auth", "store"))
auth.debug("shown"); store.debug("hidden"); store.warning("warned"); auth.log(log.TRACE, "hidden")
"""
    done = run(code, "curvine_s3_gateway::auth=debug")
    shown, warned = done.stderr.splitlines()
    assert done.stdout == ""
    assert shown.endswith("Z DEBUG curvine_s3_gateway.auth: shown") and shown[10] == "T"
    assert warned.endswith("Z WARN curvine_s3_gateway.store: warned")


def test_a_wrong_value_is_warned_of_and_info_is_taken() -> None:
    done = run("log.setup(os.environ, None)\nlog.log.info('info'); log.log.debug('debug')", "loud")
    warning, info = done.stderr.splitlines()
    assert "WARN" in warning and "'loud'" in warning and info.endswith("info")


def test_a_log_file_takes_everything_and_is_made_anew_after_rotation(tmp_path: Path) -> None:
    file = tmp_path / "logs" / "out"
    file.parent.mkdir()
    file.write_text("kept\n")
    code = f"""
file = Path({str(file)!r})
log.setup(os.environ, file)
log.log.warning("first"); print("printed", flush=True)
file.rename(file.with_name("out.1"))
log.log.warning("second")
log.reopen(file)
log.log.warning("third"); os.write(2, b"raw\\n")
"""
    done = run(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    old = file.with_name("out.1").read_text().splitlines()
    assert [line.split()[-1] for line in old] == ["kept", "first", "printed", "second"]
    assert [line.split()[-1] for line in file.read_text().splitlines()] == ["third", "raw"]
