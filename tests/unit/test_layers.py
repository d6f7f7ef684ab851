"""Who may import whom: read from the sources, not from what happens to be loaded.

s3server -> {s3proto, curvinefs}; those two never each other or s3server; no cycles between modules; the core imports
nothing that waits, asks or remembers.
"""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAY_IMPORT = {
    "s3proto": {"s3proto"},
    "curvinefs": {"curvinefs"},
    "s3server": {"s3proto", "curvinefs", "s3server"},
}
CORE_MAY_IMPORT = frozenset(
    "__future__ base64 binascii collections collections.abc contextlib dataclasses datetime defusedxml.common"
    " defusedxml.ElementTree enum functools hashlib hmac html http itertools json math re string struct typing"
    " unicodedata urllib.parse xml.etree.ElementTree zlib".split()
)
CLOCKS = frozenset({"now", "utcnow", "today"})
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in MAY_IMPORT
    for path in sorted((ROOT / package).rglob("*.py"))
}


def imported(path: Path, *, when_loaded: bool = False) -> set[str]:
    """Modules that a file imports anywhere (or ``when_loaded``: not inside functions), but for type checkers only."""
    found = set()
    tree = ast.parse(path.read_text())
    skipped = {
        id(node)
        for outer in ast.walk(tree)
        if (isinstance(outer, ast.If) and ast.unparse(outer.test) == "TYPE_CHECKING")
        or (when_loaded and isinstance(outer, ast.FunctionDef))
        for node in ast.walk(outer)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & MODULES.keys()
            whole = {node.module} if len(submodules) < len(node.names) else set()
            found |= submodules | whole
    return found


@pytest.mark.parametrize("module", MODULES)
def test_direction(module: str) -> None:
    ours = {name for name in imported(MODULES[module]) if name.partition(".")[0] in MAY_IMPORT}
    assert {name.partition(".")[0] for name in ours} <= MAY_IMPORT[module.partition(".")[0]]


def test_no_cycles() -> None:
    """Commands of the server import late what they alone need: that is no cycle when modules load."""
    graph = {module: imported(path, when_loaded=True) & MODULES.keys() for module, path in MODULES.items()}
    list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith("s3proto")])
def test_the_core_waits_for_nothing(module: str) -> None:
    path = MODULES[module]
    foreign = {name for name in imported(path) if name.partition(".")[0] != "s3proto"}
    assert foreign <= CORE_MAY_IMPORT
    called = {
        node.func.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert not called & CLOCKS, "the time comes in Context"
    assert not {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)} & {
        "open",
        "print",
        "input",
    }
