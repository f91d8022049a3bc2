"""What a run keeps and goes on from: named contents, and a log with a record at every validation of a training.

A store is handed to what trains and measures, which knows no folder. `Store` keeps all in memory; `FolderStore` in
files that are written whole or not at all, so that a run that was killed goes on from there.
"""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl

from metarec_jax.ops.files import write_atomic
from metarec_jax.ops.one_line import OneLineError
from metarec_jax.ops.untrusted import DamagedError, json_value, parquet_frame


class StoreError(OneLineError):
    """A store whose content is damaged or belongs to another run; the message says what to do."""


class Store:
    """In memory: gone with the process."""

    def __init__(self):
        self.records: list[dict[str, Any]] = []
        self._contents: dict[str, bytes] = {}

    def load(self, name: str) -> bytes | None:
        """What was saved under a name such as "seed_0/maml/info.json", or None."""
        return self._contents.get(name)

    def save(self, name: str, content: bytes) -> None:
        """Keep a content under a name, instead of an earlier one."""
        self._contents[name] = content

    def drop(self, folder: str) -> None:
        """Forget all contents whose names begin with `folder` and a slash."""
        self._contents = {name: kept for name, kept in self._contents.items() if not name.startswith(f"{folder}/")}

    def where(self, name: str) -> str:
        """A content as people find it, for messages."""
        return name

    def load_json(self, name: str, remedy: str) -> Any:
        """A JSON content, or None where there is none.

        Raises:
          StoreError: it is damaged; the message ends with the remedy.
        """
        content = self.load(name)
        try:
            return None if content is None else json_value(content)
        except DamagedError as error:
            raise StoreError(f"{self.where(name)} is damaged ({error}); {remedy}") from error

    def load_frame(self, name: str, remedy: str) -> pl.DataFrame:
        """A frame that was saved.

        Raises:
          StoreError: it is damaged, or there is none; the message ends with the remedy.
        """
        try:
            return parquet_frame(self.load(name) or b"")
        except DamagedError as error:
            raise StoreError(f"{self.where(name)} is damaged; {remedy}") from error

    def save_frame(self, name: str, frame: pl.DataFrame) -> None:
        """Keep a frame, as the content of a Parquet file."""
        buffer = io.BytesIO()
        frame.write_parquet(buffer)
        self.save(name, buffer.getvalue())

    def log(self, record: dict[str, Any]) -> None:
        """Add a record of training: seed, name, step and what was measured."""
        self.records.append(record)

    def rewind(self, seed: int, name: str, step: int) -> None:
        """Drop the records of a training that are later than `step`: a kill may leave more than the checkpoint has."""
        self.records = [
            record
            for record in self.records
            if (record["seed"], record["name"]) != (seed, name) or record["step"] <= step
        ]

    def names(self, seed: int) -> list[str]:
        """Whatever was trained, stages of a learner apart, in the order of training."""
        return list(dict.fromkeys(record["name"] for record in self.records if record["seed"] == seed))

    def curve(self, seed: int, name: str) -> list[dict[str, Any]]:
        """The records of one training."""
        return [record for record in self.records if (record["seed"], record["name"]) == (seed, name)]


class FolderStore(Store):
    """In a folder: a file a content, and the log in `metrics.jsonl`."""

    def __init__(self, folder: str | Path):
        super().__init__()
        self.folder = Path(folder)
        self._log = self.folder / "metrics.jsonl"
        self.read_log()

    def read_log(self) -> None:
        """Take in the records of the file."""
        self.records = read_log(self._log) if self._log.exists() else []

    def begin(self) -> None:
        """Called before anything is written: for a store that makes the folder its own."""

    def load(self, name: str) -> bytes | None:
        path = self.folder / name
        return path.read_bytes() if path.is_file() else None

    def save(self, name: str, content: bytes) -> None:
        self.begin()
        write_atomic(self.folder / name, content)

    def drop(self, folder: str) -> None:
        self.begin()
        shutil.rmtree(self.folder / folder, ignore_errors=True)

    def where(self, name: str) -> str:
        return str(self.folder / name)

    def log(self, record: dict[str, Any]) -> None:
        self.begin()
        super().log(record)
        with open(self._log, "a") as file:
            file.write(json.dumps(record) + "\n")

    def rewind(self, seed: int, name: str, step: int) -> None:
        self.begin()
        super().rewind(seed, name, step)
        write_atomic(self._log, "".join(json.dumps(record) + "\n" for record in self.records).encode())


LOGGED = {"seed": int, "name": str, "step": int, "seconds": (int, float)}  # in every record


def read_log(path: Path) -> list[dict[str, Any]]:
    """The records of a log; half a line at the end, which a kill may leave, is none.

    Raises:
      StoreError: a line is damaged.
    """
    records = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
        try:
            record = json_value(line)
        except DamagedError as error:
            raise StoreError(f"{path}: line {number} is damaged ({error}); delete the line.") from error
        if not isinstance(record, dict) or not all(isinstance(record.get(key), LOGGED[key]) for key in LOGGED):
            raise StoreError(f"{path}: line {number} has no {', '.join(LOGGED)} of a training; delete the line.")
        records.append(record)
    return records
