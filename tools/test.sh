#!/usr/bin/env bash
# Lint, type-check and test: `tools/test.sh` does everything within ten minutes on two cores.
#
#   tools/test.sh [--lint] [--unit] [--property] [--compat] [--coverage] [--again] [PYTEST ARGUMENT ...]
#
# Without a slice all are run.  --coverage measures (in one process, slower).  --again runs what failed once more, alone,
# and fails only if it does so again: a machine may be too busy for a test of real processes.  Other arguments go to
# pytest, as in `tools/test.sh --unit -k config`.  The environment is build/test, apart from the gateway's own; it is
# made on first use and again when setup.cfg changes.  A client that is not there is skipped with its reason.
set -euo pipefail

die() { echo "test.sh: $*" >&2; exit 1; }

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd -P)
cd "$root"
environment=build/test
bin=$environment/bin

usable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

stamp() { echo "$root" && cat setup.cfg pyproject.toml; }

make_environment() {
    if usable "$bin/python" && cmp -s <(stamp) "$environment/installed"; then return; fi
    local python
    for python in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 ""; do
        if [[ -n $python ]] && usable "$python" && "$python" -c 'import venv, ensurepip' 2>/dev/null; then break; fi
    done
    [[ -n $python ]] || die "needs Python 3.11 or later with its venv module (or PYTHON set to one)"
    echo "Making the environment in $environment (once) ..."
    rm -rf "$environment"
    mkdir -p "$environment"
    if ! { "$python" -m venv "$environment" && "$bin/python" -m pip install -e ".[test]"; } >"$environment/install.log" 2>&1
    then
        tail -n 15 "$environment/install.log" >&2
        die "the installation failed: see above and $environment/install.log"
    fi
    stamp >"$environment/installed"
}

lint() {
    local code=(s3proto s3server curvinefs tests tools examples) failed=0
    echo "== lint"
    "$bin/black" --quiet --check --diff --line-length 120 --target-version py311 --extend-exclude curvinefs/proto "${code[@]}" || failed=1
    "$bin/isort" --quiet --check --diff "${code[@]}" || failed=1
    "$bin/flake8" "${code[@]}" || failed=1
    "$bin/mypy" || failed=1
    return $failed
}

slices=()
want_lint=
coverage=
again=
arguments=()
for word; do
    case $word in
        -h | --help) sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"; exit ;;
        --lint) want_lint=1 ;;
        --unit | --property | --compat) slices+=("${word#--}") ;;
        --coverage) coverage=1 ;;
        --again) again=1 ;;
        *) arguments+=("$word") ;;
    esac
done

paths=()
for slice in "${slices[@]}"; do
    case $slice in
        unit) paths+=(tests/unit) ;;
        property) paths+=(tests/property) ;;
        compat) for path in tests/compat tests/server tests/crash; do if [[ -d $path ]]; then paths+=("$path"); fi; done ;;
    esac
done

make_environment
export PATH=$root/$bin:$PATH
failed=0
if [[ -n $want_lint || ${#slices[@]} -eq 0 && ${#arguments[@]} -eq 0 ]]; then lint || failed=1; fi
if [[ -z $want_lint || ${#slices[@]} -gt 0 || ${#arguments[@]} -gt 0 ]]; then
    echo "== tests"
    if [[ -n $coverage ]]; then
        "$bin/coverage" run -m pytest "${paths[@]}" "${arguments[@]}" || failed=1
        "$bin/coverage" report
    else
        # A file's tests stay in one process, so that what a module sets up is set up once.
        code=0
        "$bin/python" -m pytest -q -n 2 --dist loadfile "${paths[@]}" "${arguments[@]}" || code=$?
        if [[ $code == 1 && -n $again ]]; then
            echo "== what failed, once more, alone"
            "$bin/python" -m pytest -q --last-failed --last-failed-no-failures none "${paths[@]}" "${arguments[@]}" && code=0
        fi
        [[ $code == 0 ]] || failed=1
    fi
fi
exit $failed
