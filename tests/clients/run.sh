#!/bin/sh
# Runs one client's checks, or every client's, against $GUICHET_URL with $GUICHET_KEY. Run install.sh first.
#   run.sh list | run.sh NAME… | run.sh
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=$(cd "${GUICHET_TEST_CACHE:-$here/../../target/clients}" && pwd)
all="openai-1 openai-2 openai-3 litellm langchain pydantic-ai mistral node-openai node-ai"

[ "${1:-}" = list ] && { printf '%s\n' $all; exit 0; }
[ $# -gt 0 ] || set -- $all

# Whatever proxy or provider this machine is set up for, the clients talk to the given address only.
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY OPENAI_API_KEY OPENAI_BASE_URL OPENAI_ORG_ID \
    OPENAI_PROJECT_ID MISTRAL_API_KEY LANGSMITH_TRACING LANGCHAIN_TRACING_V2 2>/dev/null || true
# Compiled once, beside the installed clients: importing litellm from source takes most of a minute.
unset PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX="$cache/pycache" PYTHONUNBUFFERED=1 PYTHONPATH="$here/python"
export TIKTOKEN_CACHE_DIR="$cache/tiktoken" LITELLM_LOCAL_MODEL_COST_MAP=True

py() { "$cache/$1/bin/python" "$here/python/$2_client.py"; }
js() { node --preserve-symlinks --preserve-symlinks-main "$cache/node/$1_client.mjs"; }

failed=
for name; do
    echo "# $name"
    case $name in
        openai-[123]) py "openai${name#openai-}" openai ;;
        litellm) py openai2 litellm ;;
        langchain) py openai3 langchain ;;
        pydantic-ai) py openai3 pydantic_ai ;;
        mistral) py openai3 mistral ;;
        node-openai) js openai ;;
        node-ai) js ai ;;
        *) echo "FAIL $name no such client; see run.sh list"; false ;;
    esac || failed="$failed $name"
done
[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
