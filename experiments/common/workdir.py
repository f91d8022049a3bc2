"""A work directory belongs to one experiment with one set of flags; what is done in it is not done again."""

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from absl import flags

from metarec_jax.ops.files import write_atomic

WORKDIR = flags.DEFINE_string("workdir", None, "Where everything is written; default below runs/.")
UNSTAMPED = {"workdir", "data_dir", "storage", "out", "port"}  # flags that say where things are, not what is done


class WorkdirError(ValueError):
    """A work directory that belongs to something else."""


def stamp(experiment: ModuleType, idle: Collection[str], files: Mapping[str, str] = MappingProxyType({})) -> str:
    """The experiment and its flags as an absl flag file: `experiment.py --flagfile=flags.txt` does the same again.

    Args:
      experiment: the module of the script, whose own and adopted flags these are.
      idle: flags that do nothing beside the others, for example --dataset beside --ratings; they are left out.
      files: flag -> sha256 of the file that it names, where another content would be another run.
    """
    own = flags.FLAGS.get_key_flags_for_module(experiment)
    left_out = UNSTAMPED | set(idle)
    lines = [flag.serialize() for flag in own if flag.name not in left_out and flag.value is not None]
    lines += [f"# --{name} has the sha256 {digest}" for name, digest in files.items()]
    return "\n".join([f"# experiments/{experiment.EXPERIMENT}.py", *sorted(line for line in lines if line)]) + "\n"


def claim(experiment: str, label: str, text: str) -> Path:
    """The work directory, if it may be used; nothing is written yet. It is --workdir, or else
    runs/<experiment>/<label>-<hash of the flags> below the current directory.

    Args:
      experiment: name of the script.
      label: for people, for example the data set.
      text: from `stamp`.

    Raises:
      WorkdirError: it holds another experiment, the same with other flags, or something else.
    """
    default = Path("runs") / experiment / f"{label}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    path = Path(WORKDIR.value) if WORKDIR.value else default
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

    def names(self, seed: int) -> list[str]:
        """Whatever was trained, stages of a learner apart, in the order of training."""
        return list(dict.fromkeys(record["name"] for record in self.records if record["seed"] == seed))

    def curve(self, seed: int, name: str) -> list[dict]:
        """The records of one run."""
        return [record for record in self.records if (record["seed"], record["name"]) == (seed, name)]
