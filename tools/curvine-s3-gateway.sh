#!/usr/bin/env bash
# Service script of the Curvine S3 gateway: start, stop, restart, status, credential, check, scrub.  `help` tells more.
#
# It finds CURVINE_HOME and a Python that has the gateway, and leaves the rest to s3server/service.py.
#   checkout   tools/ and build/bin/ (a link to here): CURVINE_HOME is the repository, the environment is made in build/
#              on first use and again when setup.cfg changes; nothing else is kept there, build/ may be deleted
#   installed  in $CURVINE_HOME/bin beside the command curvine-s3-gateway, where pip put both
# CURVINE_HOME and PYTHON (the interpreter to make the environment with) may be set.
set -euo pipefail

die() { echo "curvine-s3-gateway.sh: $*" >&2; exit 1; }

here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd -P)
root=$(dirname "$here")
export CURVINE_HOME=${CURVINE_HOME:-$root}

if [[ ! -f $root/setup.cfg ]]; then
    [[ -x $here/curvine-s3-gateway ]] || die "$here/curvine-s3-gateway is missing: install the gateway there with pip"
    exec "$here/curvine-s3-gateway" service "$@"
fi

build=$root/build
python=$build/bin/python

usable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    for python in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11; do
        if usable "$python"; then return; fi
    done
    die "needs Python 3.11 or later: install it, or set PYTHON to where it is"
}

# What the environment was made from: when it changes, so must the environment.
stamp() { echo "$root" && cat "$root/setup.cfg" "$root/pyproject.toml" "$root/s3server/__init__.py"; }

make_venv() {
    find_python
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        die "$python has no venv module: install it (Debian, Ubuntu: apt-get install python3-venv)"
    "$python" -m venv "$build" >>"$build/install.log" 2>&1 || die "no environment: see $build/install.log"
    python=$build/bin/python
}

current() { usable "$python" && cmp -s <(stamp) "$build/installed"; }

make_environment() {
    if current; then return; fi
    { mkdir -p "$build" && [[ -w $build ]]; } 2>/dev/null || die "$build cannot be written: run this as its owner"
    echo "Making the environment in $build (once) ..." >&2
    (
        flock 9 2>/dev/null || true # of two first starts one installs; where there is no flock(1), both do
        current || install
    ) 9<"$build"
}

install() {
    rm -f "$build/installed" "$build/install.log"
    # A package's metadata come last: without pip's, an installation was interrupted.
    "$python" -c 'from importlib.metadata import version; version("pip")' 2>/dev/null && usable "$python" || make_venv
    if ! "$python" -m pip install -e "$root" >>"$build/install.log" 2>&1; then
        tail -n 15 "$build/install.log" >&2
        die "the installation failed (it fetches packages: is there a network?): see above and $build/install.log"
    fi
    ln -sf ../../tools/curvine-s3-gateway.sh "$build/bin/curvine-s3-gateway.sh"
    stamp >"$build/installed"
}

case ${1:-start} in
    -h | --help) usable "$python" || find_python ;;
    start | restart | credential | check | scrub | -*) make_environment ;;
    # stop, status, help and mistakes need the standard library only: they work offline, also after build/ was deleted.
    *) usable "$python" || find_python ;;
esac
# -P: a module in the working directory must not take the place of one of ours.
PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH} exec "$python" -P -m s3server.service "$@"
