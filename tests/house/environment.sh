#!/bin/sh
# Make a virtual environment and install into it: environment.sh PYTHON FOLDER PIP-ARGUMENTS...
# Debian's python3 comes without venv and pip; as root they are installed, else it is said how.
set -eu
python=$1
folder=$2
shift 2
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
    echo "Python 3.10 or newer is needed: $python is not that. Name one: make PYTHON=/path/to/python3" >&2
    exit 2
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        DEBIAN_FRONTEND=noninteractive
        export DEBIAN_FRONTEND
        apt-get update -q && apt-get install -y -q --no-install-recommends python3-venv
    else
        echo "Python's venv is missing: apt-get install python3-venv" >&2
        exit 2
    fi
fi
echo "Installing what is needed into $folder: a minute or two the first time ..." >&2
[ -x "$folder/bin/python" ] || "$python" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --upgrade "$@"
