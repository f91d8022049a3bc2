"""scripts/run.sh and scripts/demo.sh beside a stand-in environment: whose flags are whose."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECORDER = """#!/bin/sh
printf '%s\\n' "$*" >> "$(dirname "$0")/calls"
"""


@pytest.mark.parametrize(
    ("arguments", "extra", "expected"),
    [
        (["run.sh"], "", "-m experiments.user_cold_start"),
        (["run.sh", "--dataset=ml-1m"], "", "-m experiments.user_cold_start --dataset=ml-1m"),
        (["run.sh", "experiments/user_cold_start.py", "--seed=1"], "", "-m experiments.user_cold_start --seed=1"),
        (["demo.sh", "--port=9000"], "[demo]", "-m experiments.demo --port=9000"),
    ],
)
def test_flags_go_to_the_program_and_not_to_the_installation(tmp_path, arguments, extra, expected):
    for part in ("scripts", "experiments"):
        shutil.copytree(ROOT / part, tmp_path / part)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    python = tmp_path / ".venv" / "bin" / "python"  # nothing is installed yet, so the script calls pip through it
    python.parent.mkdir(parents=True)
    python.write_text(RECORDER)
    python.chmod(0o755)
    script, *flags = arguments
    subprocess.run([tmp_path / "scripts" / script, *flags], check=True, cwd="/", capture_output=True)
    uv, install, program = (python.parent / "calls").read_text().splitlines()
    assert uv == "-m pip install --quiet uv"  # there is none after it, so that pip does the rest
    assert install == f"-m pip install --quiet --editable {tmp_path}{extra}"
    assert program == expected
