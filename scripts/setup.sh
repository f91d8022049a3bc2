# Sourced by run.sh, demo.sh and test.sh: makes or reuses .venv with the package and the extras named in $1 ("" for
# none), and leaves the working directory as it is. A stamp of pyproject.toml tells whether anything is left to install.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
extras=$1
venv=$root/.venv
stamp=$venv/installed-${extras:-plain}

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3 python3.11 python3.12 python3.13 python3.14 python; do
        if [ -n "$candidate" ] && "$candidate" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
        then
            echo "$candidate"
            return
        fi
    done
    echo "error: Python 3.11 or newer (with venv) is needed; install it or set PYTHON to its path." >&2
    return 1
}

if ! cmp -s "$root/pyproject.toml" "$stamp"; then
    python=$(find_python) || exit 1
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    echo "Installing into $venv; this takes a minute or two the first time." >&2
    package=$root${extras:+[$extras]}
    # uv does in seconds what takes pip a minute, but reads other settings: where it fails, pip tries.
    { "$venv/bin/python" -m pip install --quiet uv &&
        "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --editable "$package"; } 2>/dev/null ||
        "$venv/bin/python" -m pip install --quiet --editable "$package" || {
        echo "error: installation failed; is a package registry reachable?" >&2
        exit 1
    }
    cp "$root/pyproject.toml" "$stamp"
fi
