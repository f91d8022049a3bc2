"""Whose a work directory is: one run's at a time, and after a kill that of the same run."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.main import Experiment
from experiments.workdir import Workdir, claim
from metarec_jax.ops.files import lock
from metarec_jax.train.store import StoreError

ROOT = Path(__file__).parents[2]
TEXT, OTHER = "# experiments/some.py\n--seed=0\n", "# experiments/some.py\n--seed=1\n"
LEFT = {  # what a kill before the first whole file may leave
    "nothing": [],
    "the lock": [".lock"],
    "half of the flags": [".lock", ".flags.txt.123.tmp"],
    "half of the flags, of a version without a lock": [".flags.txt.123.tmp"],
}


@pytest.mark.parametrize("left", LEFT)
def test_what_a_kill_leaves_first_is_gone_on_from(tmp_path, left):
    for name in LEFT[left]:
        (tmp_path / name).write_text("# experiments/so")
    store = Workdir(claim("some", "toy", TEXT, str(tmp_path)), TEXT)
    store.save("seed_0/info.json", b"{}")
    store.close()
    assert (tmp_path / "flags.txt").read_text() == TEXT
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "flags.txt", "seed_0"]
    with pytest.raises(StoreError, match="other flags .*--seed=0.*--seed=1.*; choose another --out"):
        claim("some", "toy", OTHER, str(tmp_path), "out")


@pytest.mark.parametrize("name", ["notes.txt", ".hidden", "half.tmp"])
def test_what_is_no_run_is_left_alone(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(StoreError, match="is not a work directory .* choose another --workdir"):
        claim("some", "toy", TEXT, str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_nothing_is_written_before_there_is_something_to_keep(tmp_path):
    with Experiment("some", "Some.", (), lambda options: None).options(["some.py"]).ending:
        Workdir(claim("some", "toy", TEXT, str(tmp_path / "work")), TEXT).load("data.json")
    assert [*tmp_path.iterdir()] == []


RECORD = {"seed": 0, "name": "maml", "seconds": 0.5}


@pytest.mark.parametrize(
    "write",
    [
        lambda store: store.save("data.json", b"{}"),
        lambda store: store.log(RECORD | {"step": 1}),
        lambda store: store.rewind(0, "maml", 1),
        lambda store: store.drop("seed_0"),
    ],
    ids=["save", "log", "rewind", "drop"],
)
def test_the_second_of_two_runs_is_told_whatever_it_wants_to_write(tmp_path, write):
    first, second = (Workdir(claim("some", "toy", TEXT, str(tmp_path / "work")), TEXT) for _ in range(2))
    write(first)
    with pytest.raises(StoreError, match="another run is at work in .*work; wait for its end or choose another --work"):
        write(second)
    first.log(RECORD | {"step": 2})
    first.close()
    second.save("other", b"")  # and the second knows what the first has logged
    assert second.records == first.records != []
    write(second)
    second.close()


def test_a_folder_that_another_run_began_meanwhile_is_its_own(tmp_path):
    first, second = (Workdir(claim("some", "toy", text, str(tmp_path)), text) for text in (TEXT, OTHER))
    first.save("data.json", b"{}")
    first.close()
    with pytest.raises(StoreError, match="other flags"):
        second.save("data.json", b"{}")
    assert (tmp_path / "flags.txt").read_text() == TEXT


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file/work cannot be written .*; choose another --workdir"):
        Workdir(tmp_path / "file" / "work", TEXT).save("data.json", b"{}")


def test_the_lock_goes_with_the_process(tmp_path):
    path = tmp_path / "lock"
    code = f"from metarec_jax.ops.files import lock; own = lock({str(path)!r}); print(own is not None); input()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "True\n"
        assert lock(path) is None
        other.kill()
    with lock(path) as own:
        assert own is not None
        assert lock(path) is None
    lock(path).close()


def test_a_full_disk_is_said_and_what_was_there_stays(tmp_path, monkeypatch):
    def full(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store = Workdir(tmp_path / "work", TEXT)
    for _ in range(2):  # the flags are the first that it has no room for, then what is kept
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises((StoreError, OSError), match="No space left"):
                store.save("data.json", b"{}")
        store.close()
        assert not [*tmp_path.rglob("*.tmp")]
        claim("some", "toy", TEXT, str(tmp_path / "work"))
        store = Workdir(tmp_path / "work", TEXT)
        store.save("data.json", b"{}")
        assert store.load("data.json") == b"{}"
    store.close()
