"""A work directory belongs to one experiment with one set of flags; what is done in it is not done again."""

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType

from absl import flags

from metarec_jax.ops.files import write_atomic
from metarec_jax.train.store import FolderStore, StoreError

UNSTAMPED = {
    "workdir",
    "data_dir",
    "storage",
    "out",
    "port",
    "file",
}  # flags that say where things are, not what is done
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
    left_out = UNSTAMPED | set(idle)
    own = [values[name] for name in values if name not in left_out]
    lines = [flag.serialize() for flag in own if flag.value is not None]
    lines += [f"# {name}{HAS}{digest}" for name, digest in files.items()]
    return "\n".join([f"# experiments/{experiment}.py", *sorted(line for line in lines if line)]) + "\n"


def claim(experiment: str, label: str, text: str, workdir: str | None) -> Path:
    """The work directory, if it may be used; nothing is written yet. It is --workdir, or else
    runs/<experiment>/<label>-<hash of the flags> below the current directory.

    Args:
      experiment: name of the script.
      label: for people, for example the data set.
      text: from `stamp`.
      workdir: what --workdir says.

    Raises:
      StoreError: it holds another experiment, the same with other flags, or something else.
    """
    default = Path("runs") / experiment / f"{label}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    path = Path(workdir) if workdir else default
    flag_file = path / "flags.txt"
    if flag_file.exists():
        if (begun_with := flag_file.read_text(errors="replace")) != text:
            raise StoreError(f"{path} holds a run with other {difference(begun_with, text)}; choose another --workdir.")
    elif path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise StoreError(f"{path} exists and is not a work directory of {experiment}; choose another --workdir.")
    return path


def difference(begun_with: str, text: str) -> str:
    """What two stamps differ in: flags, or else the content of files."""
    lines = sorted(set(begun_with.splitlines()) ^ set(text.splitlines()))
    if flag_lines := [line for line in lines if HAS not in line]:
        return f"flags ({', '.join(flag_lines[:4])})"
    changed = dict.fromkeys(line.partition(HAS)[0].removeprefix("# ") for line in lines)
    return f"content of the files that it read ({', '.join(changed)})"


class Workdir(FolderStore):
    """The store of a run: its folder is marked with the flags when the first content is kept."""

    def __init__(self, folder: Path, text: str):
        super().__init__(folder)
        self._text, self._marked = text, False

    def save(self, name: str, content: bytes) -> None:
        if not self._marked:
            self._mark()
        super().save(name, content)

    def _mark(self) -> None:
        """From here on the folder is this run's.

        Raises:
          StoreError: it cannot be written.
        """
        try:
            write_atomic(self.folder / "flags.txt", self._text.encode())
        except OSError as error:
            raise StoreError(
                f"{self.folder} cannot be written ({error.strerror}); choose another --workdir."
            ) from error
        for torn in self.folder.rglob(".*.tmp"):  # of writes that a kill cut short
            torn.unlink()
        self._marked = True
