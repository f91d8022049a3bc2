"""Tests of programs that define flags of the names that other programs' flags have: each in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).parent / "own_process").glob("check_*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_in_a_process_of_its_own(file):
    command = [sys.executable, "-m", "pytest", "-p", "no:xdist", "-p", "no:cacheprovider", str(file)]
    done = subprocess.run(command, cwd=file.parent.parent.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
