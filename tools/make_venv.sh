#!/bin/sh
# Makes the checkout's own environment: finds the newest Python that fits, also where ensurepip is missing.
#
#   tools/make_venv.sh VENV EXTRA     for example: tools/make_venv.sh .venv dev
set -eu
venv=$1 extra=$2
log=${TMPDIR:-/tmp}/gpucloud-venv.$$
trap 'rm -f "$log"' EXIT

fits() { # a Python that starts (pyenv shims may not) and is between 3.10 and 3.14
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' >/dev/null 2>&1
}

candidates() {
    for name in python3.14 python3.13 python3.12 python3.11 python3.10 python3 python; do
        path=$(command -v "$name" 2>/dev/null) && fits "$path" && echo "$path"
    done
    [ -z "${PYTHON:-}" ] || echo "$PYTHON"
}

with_ensurepip() { "$1" -m venv --clear "$venv" >"$log" 2>&1; }

with_uv() { command -v uv >/dev/null 2>&1 && uv venv --quiet --clear --seed --python "$1" "$venv" >>"$log" 2>&1; }

with_a_pip() { # a bare environment, filled by whichever pip this machine has (22.3 or newer)
    "$1" -m venv --clear --without-pip "$venv" >>"$log" 2>&1 || return 1
    for other in "$1" $(candidates); do
        "$other" -m pip --python "$venv/bin/python" install --quiet pip >>"$log" 2>&1 && return 0
    done
    return 1
}

with_virtualenv() { "$1" -m virtualenv --quiet --clear "$venv" >>"$log" 2>&1; }

make_env() { with_ensurepip "$1" || with_uv "$1" || with_a_pip "$1" || with_virtualenv "$1"; }

if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    made=
    for python in ${PYTHON:-$(candidates)}; do
        if make_env "$python"; then made=$python; break; fi
    done
    if [ -z "$made" ]; then
        cat "$log" >&2 2>/dev/null || :
        echo "No Python 3.10 to 3.14 that can make a virtual environment was found." >&2
        echo "Install one (on Debian and Ubuntu: python3 and python3-venv), or set PYTHON=/path/to/python3." >&2
        exit 1
    fi
    echo "environment: $venv ($("$venv/bin/python" --version))"
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e ".[$extra]" 2>"$log" || { cat "$log" >&2; exit 1; }
touch "$venv/.ready-$extra"
