#!/usr/bin/env bash
# Make .venv with Contourdesk in it, and install the system libraries that it needs (Debian, Ubuntu).
#   packaging/setup.sh run     what the program needs
#   packaging/setup.sh test    that, and what the tests and linters need
#   packaging/setup.sh docs    what the program and its documentation need
#   packaging/setup.sh package what the program and its desktop build need
# PYTHON=... chooses the Python. A second call does nothing unless the files that it reads have changed.
set -euo pipefail
cd "$(dirname "$0")/.."

what=${1:-run}
case $what in
run) kinds="run" extras="" ;;
test) kinds="run test" extras="[test,lint]" ;;
package) kinds="run package" extras="[package]" ;;
docs) kinds="run" extras="[docs]" ;;
*) echo "Use: packaging/setup.sh run|test|docs|package" >&2; exit 2 ;;
esac

inputs=(pyproject.toml packaging/apt-packages.txt packaging/constraints.txt packaging/hatch_build.py packaging/setup.sh)
state="$(cat "${inputs[@]}" | cksum) $PWD"
stamps=(".venv/.setup-$what")
[[ $what == run ]] && stamps+=(.venv/.setup-test) # the tests' environment holds all that the program needs
for stamp in "${stamps[@]}"; do
    if [[ -e .dev/contourdesk/app/__init__.py && "$(cat "$stamp" 2>/dev/null)" == "$state" ]]; then
        exit 0
    fi
done

in_range() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if in_range "$candidate"; then
            echo "$candidate"
            return
        fi
    done
}

installed() { # Ubuntu 24.04 and Debian 13 call some libraries NAMEt64
    local states
    states=$(dpkg-query -W -f '${db:Status-Status}\n' "$1" "${1}t64" 2>/dev/null || true)
    [[ $'\n'$states$'\n' == *$'\ninstalled\n'* ]]
}

missing_packages() {
    local kind package python
    while read -r kind package; do
        if [[ " $kinds " == *" $kind "* ]] && ! installed "$package"; then
            echo "$package"
        fi
    done <packaging/apt-packages.txt
    python=$(find_python)
    if [[ -z $python ]]; then
        for package in python3.13-venv python3.12-venv python3.11-venv; do
            if apt-cache show "$package" >/dev/null 2>&1; then
                echo "$package"
                return
            fi
        done
    elif [[ ! -x .venv/bin/python ]] && ! "$python" -c 'import ensurepip' >/dev/null 2>&1; then
        "$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'
    fi
}

if command -v apt-get >/dev/null; then
    if [[ -n "$(missing_packages)" && $EUID -eq 0 ]]; then
        apt-get update -qq
        # shellcheck disable=SC2046
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(missing_packages) >/dev/null
    fi
    missing=$(missing_packages | tr '\n' ' ')
    if [[ -n $missing ]]; then
        echo "Some system packages are missing. Run this line, then the same make command again:" >&2
        echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends $missing" >&2
        exit 1
    fi
fi

python=$(find_python)
if [[ -z $python ]]; then
    echo "Contourdesk needs Python 3.11, 3.12 or 3.13, and none was found." >&2
    echo "Install one, and name it if it is not on the path: make run PYTHON=/path/to/python3.12" >&2
    exit 1
fi
if ! in_range .venv/bin/python; then
    "$python" -m venv --clear .venv
fi

echo "Installing Contourdesk and what it needs into .venv. The first time this takes some minutes."
if [[ "$(uname)" == Linux ]] && ! command -v nvidia-smi >/dev/null && ! .venv/bin/python -c 'import torch' 2>/dev/null; then
    echo "PyTorch's usual build for Linux brings CUDA, several GB. docs/install.md says how to get the smaller CPU build."
fi
.venv/bin/python -m pip install -qq --disable-pip-version-check -c packaging/constraints.txt -e ".$extras"
echo "$state" >".venv/.setup-$what"
