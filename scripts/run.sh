#!/usr/bin/env bash
# The main job: cold-start users on MovieLens-100K, four learners and every baseline. Or any experiment:
#   scripts/run.sh [FLAGS]                         flags of the main job
#   scripts/run.sh experiments/NAME.py [FLAGS]     another experiment, or a benchmark of speed: scripts/bench_NAME.py
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh" ""
program=experiments/user_cold_start.py
if [ $# -gt 0 ] && [[ $1 == *.py ]]; then
    program=${1#"$root"/}
    program=${program#./}
    if [ ! -f "$root/$program" ]; then
        echo "error: there is no $program; there are: $(cd "$root" && ls experiments/[a-z]*.py scripts/*.py | xargs)" >&2
        exit 1
    fi
    shift
fi
# Else the allocator gives large blocks back to the system at once; touching new pages took a third of the time of
# convolutions on a CPU.
export MALLOC_MMAP_MAX_=${MALLOC_MMAP_MAX_:-0}
export MALLOC_TRIM_THRESHOLD_=${MALLOC_TRIM_THRESHOLD_:-17179869184}
export MALLOC_TOP_PAD_=${MALLOC_TOP_PAD_:-268435456}
module=${program%.py}
PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" exec "$venv/bin/python" -m "${module//\//.}" "$@"
