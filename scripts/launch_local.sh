#!/usr/bin/env bash
# N processes of one experiment on this machine, as a cluster would start them on many:
#   scripts/launch_local.sh N experiments/scale.py [FLAGS]
# Each is told the address of the first, how many there are, and which one it is. Output is marked by process; where one
# fails the others are stopped.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ $# -lt 2 ] || ! [[ $1 =~ ^[1-9][0-9]*$ ]]; then
    echo "usage: scripts/launch_local.sh N experiments/NAME.py [FLAGS]" >&2
    exit 2
fi
number=$1
shift
source "$here/setup.sh" scale
port=$("$venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
set -m # a process group each, so that a process and what it started end together
pids=()
stop() {
    for pid in "${pids[@]}"; do kill -KILL -- "-$pid" 2>/dev/null || true; done
}
trap stop EXIT
trap 'exit 130' INT TERM
for ((process = 0; process < number; process++)); do
    (exec "$here/run.sh" "$@" --coordinator="127.0.0.1:$port" --processes="$number" --process="$process" \
        > >(sed -u "s/^/[$process] /") 2> >(sed -u "s/^/[$process] /" >&2)) &
    pids+=($!)
done
for ((left = number; left > 0; left--)); do
    if ! wait -n; then
        echo "error: a process failed; the others are stopped." >&2
        exit 1
    fi
done
