"""How experiments read their command line, and that a mistake is one line on the standard error and exit code 1."""

import contextlib
import sys
from collections.abc import Iterable, Iterator

from absl import flags, logging

from metarec_jax.data.table import DataError
from metarec_jax.eval.predict import PredictionError
from metarec_jax.train.checkpoint import CheckpointError
from metarec_jax.train.loop import TrainingError

USER_ERRORS = (DataError, CheckpointError, TrainingError, PredictionError, OSError, ValueError)


def parse(argv: list[str]) -> list[str]:
    """Set the flags; a wrong one is one line, as all errors are. Returns what is not a flag."""
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        sys.exit(f"error: {' '.join(str(error).split())}")


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """What a person can mend ends the program with one line; everything else is a bug and shows its traceback."""
    try:
        yield
    except USER_ERRORS as error:
        logging.debug("in full", exc_info=True)
        sys.exit(f"error: {error}")


def only_flags(argv: list[str]) -> None:
    """Raises ValueError where something on the command line is not a flag."""
    if len(argv) > 1:
        raise ValueError(f"{argv[1]!r} is not a flag; flags are written --name=value.")


def refuse(idle: Iterable[tuple[flags.FlagHolder, str]]) -> list[str]:
    """The names of flags that do nothing beside the others, given with the reasons.

    Raises:
      ValueError: one of them was set.
    """
    names = []
    for flag, why in idle:
        if flags.FLAGS[flag.name].present:
            raise ValueError(f"--{flag.name} {why}.")
        names.append(flag.name)
    return names
