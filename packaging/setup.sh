#!/usr/bin/env bash
# Makes the checkout ready to run: system libraries, .venv, JavaScript parts. Quick when there is nothing to do.
# Usage: packaging/setup.sh [run|dev]
set -euo pipefail
cd "$(dirname "$0")/.."
extra=${1:-run}
venv=.venv
say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }

python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "Expertarium needs Python 3.11 or newer; '$python' is $("$python" --version 2>&1)." >&2
    echo "Install it, or name another: make run PYTHON=/path/to/python3.12" >&2
    exit 1
fi

# --- system libraries: only on Debian-like systems, only what is missing, only when we may
missing_packages() {
    local line name known
    while IFS= read -r line; do
        line=${line%%#*}
        [ -n "${line// /}" ] || continue
        known=""
        for name in ${line//|/ }; do
            if dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'ok installed'; then
                known=installed
                break
            fi
        done
        [ "$known" = installed ] || echo "$line"
    done < packaging/system_packages.txt
}

choose_known() {  # reads "a | b" lines, prints the first name apt has a candidate for
    local line name
    while IFS= read -r line; do
        for name in ${line//|/ }; do
            if apt-cache policy "$name" 2>/dev/null | grep -q 'Candidate: [^(]'; then
                echo "$name"
                break
            fi
        done
    done
}

if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
    missing=$(missing_packages)
    if [ -n "$missing" ]; then
        root=""
        if [ "$(id -u)" = 0 ]; then root="env"; elif sudo -n true 2>/dev/null; then root="sudo"; fi
        if [ -n "$root" ]; then
            say "Installing system libraries"
            $root apt-get update -qq
            # shellcheck disable=SC2046
            DEBIAN_FRONTEND=noninteractive $root apt-get install -y -qq --no-install-recommends \
                $(echo "$missing" | choose_known) >&2
        else
            echo "These system packages are missing, and installing them needs an administrator:" >&2
            echo "    sudo apt-get install" $(echo "$missing" | choose_known) >&2
            echo "The window may not start without them; going on." >&2
        fi
    fi
fi

# --- Python packages
stamp="$venv/.ready-$extra"
wanted=$(cat pyproject.toml packaging/constraints.txt | cksum)
ready() { [ "$(cat "$venv/.ready-$1" 2>/dev/null || true)" = "$wanted" ]; }
if ! ready "$extra" && ! ready dev; then
    say "Installing Python packages into $venv"
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c packaging/constraints.txt \
        "torch==$(sed -n 's/^torch==//p' packaging/constraints.txt)"
    target="."
    [ "$extra" = dev ] && target=".[dev]"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c packaging/constraints.txt -e "$target"
    echo "$wanted" > "$stamp"
fi

# --- JavaScript parts of the editor and the preview
"$venv/bin/python" packaging/web_packages.py
