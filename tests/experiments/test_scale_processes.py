"""`experiments/scale.py` in two processes: what one finds, and a host that dies while a checkpoint is being written."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from metarec_jax.train import checkpoint

ROOT = Path(__file__).parent.parent.parent
FLAGS = ["--learner=maml_network", "--steps=40", "--every=10", "--deterministic"]
PATIENCE = 240  # seconds


def output(out: Path, process: int) -> Path:
    """What a process says."""
    return out.with_name(f"{out.name}_{process}.txt")


def start(out: Path, number: int) -> list[subprocess.Popen]:
    """The processes of a run; each one's output is beside the folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    several = [f"--coordinator={address}", f"--processes={number}"] if number > 1 else []
    variables = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    processes = []
    for process in range(number):
        own = [f"--process={process}"] if several else []
        command = [sys.executable, "-m", "experiments.scale", *FLAGS, f"--out={out}", *several, *own]
        with open(output(out, process), "w") as file:
            processes.append(subprocess.Popen(command, cwd=ROOT, env=variables, stdout=file, stderr=file))
    return processes


def finish(out: Path, processes: list[subprocess.Popen]) -> bytes:
    """The file of parameters of a run, at its end."""
    for process, running in enumerate(processes):
        assert running.wait(PATIENCE) == 0, output(out, process).read_text()
    return (out / "params.msgpack").read_bytes()


@pytest.mark.skipif(
    not (Path(os.environ.get("METAREC_DATA_DIR", "")) / "ml-100k" / "u.data").is_file(),
    reason="needs MovieLens-100K: unpack ml-100k.zip of grouplens.org and set METAREC_DATA_DIR to the folder around it",
)
@pytest.mark.slow
def test_two_processes_find_what_one_does_and_outlive_a_kill_in_the_middle_of_a_save(tmp_path):
    begun = {name: start(tmp_path / name, number) for name, number in (("one", 1), ("two", 2))}
    _, two = (finish(tmp_path / name, processes) for name, processes in begun.items())
    alone, shared = (checkpoint.arrays(tmp_path / name / "params.msgpack") for name in ("one", "two"))
    assert alone.keys() == shared.keys() and alone
    for name, leaf in alone.items():
        np.testing.assert_allclose(leaf, shared[name], rtol=0, atol=1e-6)

    out = tmp_path / "killed"
    first, second = start(out, 2)
    end = time.monotonic() + PATIENCE
    while not (being_written := [*out.glob("checkpoints/[234]0*tmp*")]):
        assert time.monotonic() < end and first.poll() is None, output(out, 0).read_text()
        time.sleep(0.002)
    second.send_signal(signal.SIGKILL)
    first.kill()  # it waits for the other, and a scheduler would end it
    first.wait(), second.wait()
    assert being_written and not (out / "params.msgpack").exists()
    assert finish(out, start(out, 2)) == two
