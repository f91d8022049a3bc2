# Sourced by run.sh, demo.sh and test.sh: makes or reuses .venv with the package and the extras named in $1 ("" for
# none), and leaves the working directory as it is. A stamp of what is asked for, written last, tells whether anything is
# left to install. What a kill leaves half-made may look whole to pip, so it is made anew: an environment without any
# stamp, or with the mark of an installation that did not come to its end.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
extras=$1
venv=$root/.venv
stamp=$venv/installed-${extras:-plain}
unfinished=$venv/unfinished
asked=("$root/pyproject.toml" "$root/requirements.lock")

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

is_installed() {
    [ ! -e "$unfinished" ] && cat "${asked[@]}" | cmp -s - "$stamp"
}

install_package() {
    local package=$root${extras:+[$extras]}
    # uv does in seconds what takes pip a minute, but reads other settings: where it fails, pip tries.
    { "$venv/bin/python" -m pip install --quiet uv &&
        "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" "$@" --editable "$package"; } 2>/dev/null ||
        "$venv/bin/python" -m pip install --quiet "$@" --editable "$package"
}

install() {
    if [ -e "$unfinished" ] || ! compgen -G "$venv/installed-*" >/dev/null; then
        rm -f "$venv"/installed-* # first: without a stamp it counts as half-made, however much of it is gone
        "$python" -m venv --clear "$venv" || return
    fi
    : >"$unfinished"
    echo "Installing into $venv; this takes a minute or two the first time." >&2
    # The versions that the tests ran with; where they cannot be had, any that fit.
    install_package --constraint "$root/requirements.lock" 2>/dev/null || install_package || {
        rm "$unfinished" # pip gave up by itself, and left what was there
        return 1
    }
    cat "${asked[@]}" >"$stamp"
    rm "$unfinished"
}

if ! is_installed; then
    python=$(find_python) || exit 1
    # One at a time: the lock is of this shell and of what it starts, and is free when the last of them has ended.
    exec 9<"$root/pyproject.toml"
    "$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)' 2>/dev/null || true # some network disks have no locks
    if ! is_installed && ! install; then
        echo "error: installation failed; is a package registry reachable?" >&2
        exit 1
    fi
    exec 9<&-
fi
