"""Checkpoints of state that is spread over devices and hosts: every host writes what it has, by orbax.

A step's folder gets its name when all hosts have written all of it, so one that dies in the middle of a save leaves the
steps before as they were. What is restored is laid out as the arrays of today, whatever devices wrote it.
Small states of one process are one file: see `checkpoint`. Needs the extra `scale`.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from metarec_jax.train.checkpoint import CheckpointError

KEPT = 2  # steps


class Checkpoints:
    """The saved steps of a run, in a folder that all hosts can reach."""

    def __init__(self, manager: Any, folder: Path):
        self._manager, self._folder = manager, folder

    def save(self, step: int, state: Any) -> None:
        """Begin to save a pytree of arrays; the training may go on, and may donate them."""
        import orbax.checkpoint as ocp

        self._manager.save(step, args=ocp.args.StandardSave(state))

    def latest(self) -> int | None:
        """The last step that was saved whole."""
        return self._manager.latest_step()

    def restore(self, step: int, like: Any) -> Any:
        """The state of a step, in the structure, shapes and layout of `like`.

        Raises:
          CheckpointError: it is of another structure, or damaged.
        """
        import orbax.checkpoint as ocp

        wanted = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), like)
        try:
            return self._manager.restore(step, args=ocp.args.StandardRestore(wanted))
        except (ValueError, KeyError, TypeError, OSError) as error:
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise CheckpointError(
                f"{self._folder}: step {step} cannot be restored ({first}); restore it with the model and settings "
                "that wrote it, or delete the folder to start anew."
            ) from error


@contextlib.contextmanager
def checkpoints(folder: Path) -> Iterator[Checkpoints]:
    """The checkpoints in a folder, which is made where it is missing; at the end all saves are finished.

    Raises:
      CheckpointError: orbax is not installed.
    """
    try:
        import orbax.checkpoint as ocp
    except ImportError as error:
        raise CheckpointError("sharded checkpoints need orbax: pip install 'metarec_jax[scale]'.") from error
    folder = folder.absolute()
    with ocp.CheckpointManager(folder, options=ocp.CheckpointManagerOptions(max_to_keep=KEPT, create=True)) as manager:
        yield Checkpoints(manager, folder)
