#!/bin/sh
# Installs the real clients that the tests drive, at pinned versions: one virtual environment for each set that cannot
# share one, and one node_modules. Quick when nothing changed. Where: $GUICHET_TEST_CACHE, else target/clients.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${GUICHET_TEST_CACHE:-$here/../../target/clients}
python=${PYTHON:-python3}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)

for tool in "$python" node npm; do
    command -v "$tool" >/dev/null || { echo "install.sh: $tool is needed for the client tests" >&2; exit 1; }
done
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "install.sh: Python 3.11 or newer is needed" >&2; exit 1; }

# Two runs at once would install over each other.
exec 9>"$cache/lock"
flock 9

# Says whether a set is as its files (and the interpreter) want it; `stamp` keeps that for the next time.
wanted() { { cat "$@"; "$python" --version; node --version; } | sha256sum | cut -d' ' -f1; }
fresh() { [ "$(cat "$1/stamp" 2>/dev/null)" = "$2" ]; }

for requirements in "$here"/python/requirements/*.txt; do
    name=$(basename "$requirements" .txt)
    venv=$cache/$name
    stamp=$(wanted "$requirements")
    fresh "$venv" "$stamp" && continue
    echo "installing $name" >&2
    rm -rf "$venv"
    "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile -r "$requirements" >&2
    echo "$stamp" >"$venv/stamp"
done

# LangChain tokenizes with cl100k, which tiktoken would fetch from the network; litellm ships the same file.
if [ ! -e "$cache/tiktoken" ]; then
    vocabulary=$(find "$cache/openai2" -name 9b5ad71b2ce5302211f9c61530b329a4922fc6a4)
    mkdir "$cache/tiktoken"
    cp "$vocabulary" "$cache/tiktoken/"
fi

modules=$cache/node
stamp=$(wanted "$here/node/package.json" "$here/node/package-lock.json")
if ! fresh "$modules" "$stamp"; then
    echo "installing node clients" >&2
    rm -rf "$modules"
    mkdir "$modules"
    cp "$here/node/package.json" "$here/node/package-lock.json" "$here/node/.npmrc" "$modules/"
    (cd "$modules" && npm ci --silent >&2)
    echo "$stamp" >"$modules/stamp"
fi
# Linked, so that they find the modules there and stay the tree's own.
for script in "$here"/node/*.mjs; do
    ln -sf "$script" "$modules/"
done
