#!/usr/bin/env bash
# Finds out which Debian/Ubuntu packages are missing, installs them when root, else says how to get them.
# Usage: PYTHON=python3.11 system_packages.sh [tests]
set -euo pipefail
missing=()
library() { ldconfig -p 2>/dev/null | grep -q "$1" || missing+=("$2"); }
program() { command -v "$1" >/dev/null || missing+=("$2"); }

if [ -z "${PYTHON:-}" ]; then
    missing+=(python3 python3-venv)
else
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || missing+=("$(basename "$(readlink -f "$PYTHON")")-venv")
fi
library libGL.so.1 libgl1
library libEGL.so.1 libegl1
library libglib-2.0.so.0 libglib2.0-0
library libgthread-2.0.so.0 libglib2.0-0
if [ "${1:-}" = tests ]; then
    program Xvfb xvfb
    program xdotool xdotool
    if ! command -v chromium >/dev/null && ! command -v google-chrome >/dev/null; then
        if grep -q '^ID=ubuntu' /etc/os-release 2>/dev/null; then # there it is a snap, which wants a running system
            echo "no browser: the tests of the review page are skipped; install chromium or google-chrome for them" >&2
        else
            missing+=(chromium)
        fi
    fi
fi

[ ${#missing[@]} -eq 0 ] && exit 0
get="apt-get install -y --no-install-recommends $(printf '%s\n' "${missing[@]}" | sort -u | tr '\n' ' ')"
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "installing what this system lacks: $get"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $get >/dev/null
else
    echo "this system lacks packages; get them with: sudo $get" >&2
    exit 1
fi
