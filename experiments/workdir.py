"""A work directory belongs to one experiment with one set of flags; what is done in it is not done again."""

import hashlib
from collections.abc import Collection, Mapping
from fnmatch import fnmatch
from pathlib import Path
from types import MappingProxyType

from absl import flags

from metarec_jax.ops.files import TORN, lock, write_atomic
from metarec_jax.train.store import FolderStore, StoreError

UNSTAMPED = {
    "workdir",
    "data_dir",
    "storage",
    "out",
    "port",
    "file",
}  # flags that say where things are, not what is done
LAYOUT = {  # and those of an experiment whose result does not depend on them, so that a run may go on with others
    "scale": {"devices", "parallel", "coordinator", "processes", "process", "cluster"},
}
FLAGS, LOCK = "flags.txt", ".lock"  # in the folder
HAS = " has the sha256 "


def stamp(
    experiment: str,
    values: flags.FlagValues,
    idle: Collection[str] = (),
    files: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """The experiment and its flags as an absl flag file: `experiment.py --flagfile=flags.txt` does the same again.

    Args:
      experiment: the name of the script.
      values: its flags.
      idle: flags that do nothing beside the others, for example --dataset beside --ratings; they are left out.
      files: "--flag: name" of a file that is read -> its sha256: another content is another run.
    """
    left_out = UNSTAMPED | LAYOUT.get(experiment, set()) | set(idle)
    own = [values[name] for name in values if name not in left_out]
    lines = [flag.serialize() for flag in own if flag.value is not None]
    lines += [f"# {name}{HAS}{digest}" for name, digest in files.items()]
    return "\n".join([f"# experiments/{experiment}.py", *sorted(line for line in lines if line)]) + "\n"


def claim(experiment: str, label: str, text: str, folder: str | None, flag: str = "workdir") -> Path:
    """The work directory, if it may be used; nothing is written yet. It is what the flag says, or else
    runs/<experiment>/<label>-<hash of the flags> below the current directory.

    Args:
      experiment: name of the script.
      label: for people, for example the data set.
      text: from `stamp`.
      folder: what the flag says.
      flag: the one that names work directories.

    Raises:
      StoreError: it holds another experiment, the same with other flags, or something else.
    """
    default = Path("runs") / experiment / f"{label}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    path = Path(folder) if folder else default
    check(path, text, flag)
    return path


def check(path: Path, text: str, flag: str) -> None:
    """Raises StoreError unless the folder is of the run with these flags, or of none: it does not exist, or holds no
    more than a run leaves that was killed before it wrote anything."""
    flag_file = path / FLAGS
    if flag_file.exists():
        if (begun_with := flag_file.read_text(errors="replace")) != text:
            raise StoreError(f"{path} holds a run with other {difference(begun_with, text)}; choose another --{flag}.")
    elif path.exists() and not (path.is_dir() and all(of_none(entry.name) for entry in path.iterdir())):
        raise StoreError(f"{path} exists and is not a work directory of this experiment; choose another --{flag}.")


def of_none(name: str) -> bool:
    """Whether a file of this name means nothing: the lock, or half of a file."""
    return name == LOCK or fnmatch(name, TORN)


def difference(begun_with: str, text: str) -> str:
    """What two stamps differ in: flags, or else the content of files."""
    lines = sorted(set(begun_with.splitlines()) ^ set(text.splitlines()))
    if flag_lines := [line for line in lines if HAS not in line]:
        return f"flags ({', '.join(flag_lines[:4])})"
    changed = dict.fromkeys(line.partition(HAS)[0].removeprefix("# ") for line in lines)
    return f"content of the files that it read ({', '.join(changed)})"


class Workdir(FolderStore):
    """The store of a run: its folder is marked with the flags, and locked, when the first content is kept."""

    def __init__(self, folder: Path, text: str, flag: str = "workdir"):
        """The folder and the flags as of `claim`."""
        super().__init__(folder)
        self._text, self._flag, self._lock = text, flag, None

    def begin(self) -> None:
        """From here on, until `close`, the folder is this run's and no other's.

        Raises:
          StoreError: it cannot be written, or is another's.
        """
        if self._lock is not None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = lock(self.folder / LOCK)
            if self._lock is None:
                raise StoreError(
                    f"another run is at work in {self.folder}; wait for its end or choose another --{self._flag}."
                )
            check(self.folder, self._text, self._flag)  # what it was claimed as, it may not be any more
            if not (self.folder / FLAGS).exists():
                write_atomic(self.folder / FLAGS, self._text.encode())
            for torn in self.folder.rglob(TORN):
                torn.unlink()
        except OSError as error:
            raise StoreError(
                f"{self.folder} cannot be written ({error.strerror}); choose another --{self._flag}."
            ) from error
        self.read_log()  # another run may have gone on since

    def close(self) -> None:
        """Leave the folder to others."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None
