#!/usr/bin/env bash
# The programs that read scans, for tests: `ocr.sh install` installs Debian's packages when they are missing (as root),
# `ocr.sh version` says which ones they are.
set -euo pipefail

ready() {
  command -v pdftoppm >/dev/null && command -v tesseract >/dev/null && tesseract --list-langs 2>/dev/null | grep -qx fra
}

case $1 in
install)
  if ! ready; then
    if [ "$(id -u)" != 0 ]; then
      echo "OCR is missing: apt-get install tesseract-ocr tesseract-ocr-fra poppler-utils" >&2
      exit 1
    fi
    {
      apt-get update -qq
      DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends tesseract-ocr tesseract-ocr-fra poppler-utils
    } >&2
  fi
  ready
  ;;
version)
  tesseract --version 2>&1 | head -n 1
  ;;
esac
