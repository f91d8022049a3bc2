"""The same work done by a program of another interpreter, asked from here: one job a line, one line of JSON back."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

Ask = Callable[[str], dict[str, Any]]  # job -> what the program answers


@contextmanager
def peer(python: str | None, program: Path, work: dict[str, np.ndarray], threads: int) -> Iterator[Ask | None]:
    """A function that has `program` do a job, or None without an interpreter.

    Args:
      python: the interpreter.
      program: called with the path of a file of `work`, as numpy.savez writes it, and the number of its threads.
      work: all that it needs to know.
      threads: see `program`.

    Raises:
      OSError: the interpreter cannot be started.
      SystemExit: the program ended in the middle of a job.
    """
    if not python:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "work.npz"
        np.savez(path, **work)
        command = [python, str(program), str(path), str(threads)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            jobs, answers = process.stdin, process.stdout
            assert jobs and answers  # both are pipes

            def ask(job: str) -> dict[str, Any]:
                jobs.write(job + "\n")
                jobs.flush()
                answer = answers.readline()
                if not answer:
                    sys.exit(f"error: {program.name} ended in the middle of {job}; its message is above.")
                return json.loads(answer)

            yield ask
            jobs.close()
