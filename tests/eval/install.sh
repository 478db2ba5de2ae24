#!/bin/sh
# Installs the reference implementations of requirements.txt in a virtual environment. Quick when nothing changed. Where:
# $GUICHET_TEST_CACHE/references, else target/references.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${GUICHET_TEST_CACHE:-$here/../../target}
python=${PYTHON:-python3}
mkdir -p "$cache"
venv=$(cd "$cache" && pwd)/references

command -v "$python" >/dev/null || { echo "install.sh: $python is needed for the reference statistics" >&2; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "install.sh: Python 3.11 or newer is needed" >&2; exit 1; }

# Two runs at once would install over each other.
exec 9>"$venv.lock"
flock 9

stamp=$({ cat "$here/requirements.txt"; "$python" --version; } | sha256sum | cut -d' ' -f1)
if [ "$(cat "$venv/stamp" 2>/dev/null)" != "$stamp" ]; then
    echo "installing reference statistics" >&2
    rm -rf "$venv"
    "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile -r "$here/requirements.txt" >&2
    echo "$stamp" >"$venv/stamp"
fi
