"""A work directory belongs to one experiment with one set of flags; what is done in it is not done again."""

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from absl import flags

from metarec_jax.checkpoint import write_atomic

UNSTAMPED = {"workdir", "data_dir"}  # flags that say where things are, not what is done


class WorkdirError(ValueError):
    """A work directory that belongs to something else."""


def stamp(experiment: str, idle: Collection[str]) -> str:
    """The experiment and its flags as an absl flag file: `experiment.py --flagfile=flags.txt` does the same again.

    Flags that are `idle` beside the others, for example --dataset beside --ratings, are left out.
    """
    own = flags.FLAGS.flags_by_module_dict()[experiment_module()]
    left_out = UNSTAMPED | set(idle)
    lines = [flag.serialize() for flag in own if flag.name not in left_out and flag.value is not None]
    return "\n".join([f"# experiments/{experiment}.py", *sorted(line for line in lines if line)]) + "\n"


def experiment_module() -> str:
    """Name under which absl knows the flags of the running script."""
    return flags.FLAGS.find_module_defining_flag("workdir")


def claim(path: Path | None, experiment: str, label: str, text: str) -> Path:
    """The work directory, if it may be used; nothing is written yet.

    Args:
      path: the directory asked for; None: runs/<experiment>/<label>-<hash of the flags> below the current directory.
      experiment: name of the script.
      label: for people, for example the data set.
      text: from `stamp`.

    Raises:
      WorkdirError: it holds another experiment, the same with other flags, or something else.
    """
    path = path or Path("runs") / experiment / f"{label}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    flag_file = path / "flags.txt"
    if flag_file.exists():
        if (found := flag_file.read_text()) != text:
            differing = sorted(set(found.splitlines()) ^ set(text.splitlines()))
            raise WorkdirError(
                f"{path} holds a run with other flags ({', '.join(differing[:4])}); choose another --workdir."
            )
    elif path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise WorkdirError(f"{path} exists and is not a work directory of {experiment}; choose another --workdir.")
    return path


def mark(path: Path, text: str, data: dict[str, Any]) -> None:
    """Make the work directory that `claim` gave and mark it with its flags: from here on it is this run's.

    Args:
      path: the directory.
      text: from `stamp`.
      data: hashes of the ratings and the splits, which must be what they were when the run began.

    Raises:
      WorkdirError: it cannot be made, or the data are others than those it was begun with.
    """
    begun_with = path / "data.json"
    if begun_with.exists() and json.loads(begun_with.read_text()) != data:
        raise WorkdirError(f"the ratings or splits have changed since {path} was begun; choose another --workdir.")
    try:
        write_atomic(begun_with, json.dumps(data, indent=1).encode())
        write_atomic(path / "flags.txt", text.encode())
    except OSError as error:
        raise WorkdirError(f"{path} cannot be written ({error.strerror}); choose another --workdir.") from error
    for torn in path.rglob(".*.tmp"):  # of writes that a kill cut short
        torn.unlink()


class Log:
    """`metrics.jsonl`: one line a chunk of training. After a kill, lines that outran the checkpoint are dropped."""

    def __init__(self, path: Path):
        self.path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.records = [json.loads(line) for line in lines if line.endswith("}")]  # a kill may leave half a line

    def append(self, record: dict) -> None:
        """Add one record."""
        self.records.append(record)
        with open(self.path, "a") as file:
            file.write(json.dumps(record) + "\n")

    def rewind(self, seed: int, name: str, step: int) -> None:
        """Drop the records of this run that are later than `step`."""
        self.records = [
            record
            for record in self.records
            if (record["seed"], record["name"]) != (seed, name) or record["step"] <= step
        ]
        write_atomic(self.path, "".join(json.dumps(record) + "\n" for record in self.records).encode())

    def curve(self, seed: int, name: str) -> list[dict]:
        """The records of one run."""
        return [record for record in self.records if (record["seed"], record["name"]) == (seed, name)]
