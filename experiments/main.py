"""How every experiment is run: the one place that reads flags, makes the work directory and prints.

Flags are read into frozen `Options` before anything else is read or written. A mistake is one line on the standard
error and exit code 1.
"""

import contextlib
import dataclasses
import inspect
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from logging import WARNING, getLogger
from pathlib import Path
from typing import Any, NamedTuple

import jax
from absl import flags, logging

from experiments import flags as known_flags
from experiments.inputs import input_sums
from experiments.workdir import Workdir, claim, stamp
from metarec_jax import data
from metarec_jax.data.fetch.download import cache_root
from metarec_jax.data.io.ratings_file import parse_columns, read_ratings
from metarec_jax.data.table import Ratings
from metarec_jax.ops.one_line import one_line
from metarec_jax.tasks.split_file import read_split
from metarec_jax.train.sharding import Sharding

Idle = Iterable[tuple[str, str]]  # flags that do nothing beside the others, and why


@dataclasses.dataclass(frozen=True)
class Options:
    """What the flags say; `options.steps` is --steps."""

    experiment: str
    flags: flags.FlagValues
    ending: contextlib.ExitStack = dataclasses.field(default_factory=contextlib.ExitStack)  # of the run

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self.flags:
            raise AttributeError(f"{self.experiment} has no --{name}")
        return self.flags[name].value

    def has(self, name: str) -> bool:
        """Whether the script has the flag."""
        return name in self.flags

    def stamp(self, idle: Idle = ()) -> str:
        """The flags that matter and the content of the files that they name, as `workdir.stamp`.

        Raises:
          ValueError: one that would do nothing was set, or a file cannot be read.
        """
        names = refuse(self, idle)
        return stamp(self.experiment, self.flags, names, input_sums(self, names))


class Experiment(NamedTuple):
    """A script: `main(argv)` runs it."""

    name: str
    doc: str | None
    flags: tuple[str, ...]
    work: Callable[[Options], None]
    defaults: Mapping[str, Any] = {}
    choices: Mapping[str, Collection[str]] = {}  # of flags that are a choice, where they are the script's own
    own: Mapping[str, known_flags.Flag] = {}  # flags of this script alone

    def __call__(self, argv: list[str] | None = None) -> None:
        """Read the flags and do the work; `argv` begins with the name of the program."""
        argv = sys.argv if argv is None else argv
        flags.FLAGS.mark_as_parsed()  # absl's own, of which there are none here; else it warns of them
        logging.use_absl_handler()
        logging.set_verbosity(logging.INFO)
        getLogger("jax").setLevel(WARNING)  # it tells of every kind of device that is not there
        with one_line_errors():
            options = self.options(argv)
            if options is not None:
                with options.ending:
                    self.work(options)

    def options(self, argv: list[str]) -> Options | None:
        """What the command line says; None where it asked for help, which is printed.

        Raises:
          ValueError: a flag that the script does not have, a wrong value, or something that is no flag.
        """
        values = known_flags.define(self.flags, self.defaults, self.choices, self.own)
        if any(argument in ("--help", "-h", "--helpshort", "--helpfull") for argument in argv[1:]):
            print(f"{inspect.cleandoc(self.doc or '')}\n\nFlags:\n")
            print(values.get_help())
            return None
        try:
            rest = values(argv)
        except flags.Error as error:
            raise ValueError(" ".join(str(error).split())) from error
        if len(rest) > 1:
            raise ValueError(f"{rest[1]!r} is not a flag; flags are written --name=value.")
        options = Options(self.name, values)
        if options.has("seed") and options.has("seeds") and options.seed + options.seeds > known_flags.MOST:
            raise ValueError(f"--seed and --seeds: {options.seed} + {options.seeds} is above {known_flags.MOST}.")
        return options


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """What a person can mend ends the program with one line; everything else is a bug and shows its traceback."""
    from metarec_jax.eval.predict import PredictionError
    from metarec_jax.train.loop import TrainingError

    try:
        yield
    except (TrainingError, PredictionError, OSError, ValueError, MemoryError, jax.errors.JaxRuntimeError) as error:
        if isinstance(error, jax.errors.JaxRuntimeError) and not re.search("(?i)out of memory|exhausted", str(error)):
            raise
        logging.debug("in full", exc_info=True)
        sys.exit(f"error: {one_line(complaint(error))}")


def complaint(error: Exception) -> str:
    """What an error says; where it is the system that complains, what to do too."""
    if isinstance(error, MemoryError | jax.errors.JaxRuntimeError):
        return f"the memory does not suffice ({error or 'nothing more is known'}); ask for less at a time."
    if isinstance(error, OSError) and error.strerror:
        where = "a file" if error.filename is None else error.filename
        return f"{where} cannot be read or written ({error.strerror}); check the path, its rights and the space there."
    return str(error)


def refuse(options: Options, idle: Idle) -> list[str]:
    """The names of flags that do nothing beside the others.

    Raises:
      ValueError: one of them was set.
    """
    names = []
    for name, why in idle:
        if options.has(name):
            if options.flags[name].present:
                raise ValueError(f"--{name} {why}.")
            names.append(name)
    return names


def make_devices(number: int) -> None:
    """As many devices as asked for: virtual ones, where there is nothing better. Before jax is used.

    And what is compiled is kept: `keep_compiled`.
    """
    if number > 1 and jax.config.jax_platforms in (None, "", "cpu"):
        os.environ.setdefault("NPROC", str(max(16, 2 * number)))  # with fewer threads a collective can deadlock
        jax.config.update("jax_num_cpu_devices", number)
    if jax.version.__version_info__ < (0, 12):  # later ones may not know the flag, and a flag that is unknown is fatal
        # XLA's older way of writing loops: here it compiles in two thirds of the time and runs as fast or faster.
        os.environ["XLA_FLAGS"] = f"--xla_cpu_use_fusion_emitters=false {os.environ.get('XLA_FLAGS', '')}"
    keep_compiled()


def keep_compiled() -> None:
    """Keep what is compiled in the user's cache, so that the same command compiles nothing again."""
    if jax.config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(cache_root() / "compiled"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def sharding(options: Options) -> Sharding:
    """How the flags lay out the work of a training step."""
    return Sharding(options.devices, options.parallel, id_tables=options.id_tables)


def chosen(flag: str, asked: list[str] | None, names: Collection[str], default: Collection[str] = ()) -> list[str]:
    """The names that a list flag asks for, in the order of `names`; where it is not set, the `default`.

    Raises:
      ValueError: a name that is not among them.
    """
    asked, names = list(default) if asked is None else asked, list(names)
    if asked in (["all"], ["none"]):
        return names if asked == ["all"] else []
    for name in asked:
        if name not in names:
            raise ValueError(f"--{flag}: unknown {name!r}; choose all, none, or some of {', '.join(names)}.")
    return [name for name in names if name in asked]


def whole_numbers(flag: str, texts: list[str], least: int = 0) -> list[int]:
    """The numbers that a list flag asks for, ascending.

    Raises:
      ValueError: one is not a whole number of at least `least`, or there is none.
    """
    for text in texts or [""]:
        if not (is_count(text) and int(text) >= least):
            raise ValueError(f"--{flag}: {text!r} is not a whole number of at least {least}, up to a million.")
    return sorted({int(text) for text in texts})


def is_count(text: str) -> bool:
    """Whether it is a whole number up to a million."""
    return text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= 10**6


def parse_shots(texts: list[str] | None) -> list[int | str] | None:
    """The Ks that --shots asks for, ascending, "all" last; None where it is not set.

    Raises:
      ValueError: a K that is neither a number nor "all".
    """
    if texts is None:
        return None
    for text in texts or [""]:
        if text != "all" and not is_count(text):
            raise ValueError(f"--shots: {text!r} is neither a number up to a million nor 'all'.")
    numbers = sorted({int(text) for text in texts if text != "all"})
    return [*numbers, *(["all"] if "all" in texts else [])]


# ------------------------------------------------------------------------------------------------------------- ratings


def load_ratings(options: Options) -> Ratings:
    """The table that the flags ask for."""
    if options.ratings is not None:
        columns, implicit = parse_columns(options.columns or ""), options.has("liked")  # what is liked needs no rating
        return read_ratings(Path(options.ratings), columns, duplicates=options.duplicates, implicit=implicit)
    groups = None if options.content is None else [group for kind in modalities(options).values() for group in kind]
    return data.load(options.dataset, data_dir(options), groups)


def modalities(options: Options) -> dict[str, list[str]]:
    """The kinds of item features that --content names, and the groups of columns (parted by "+") of each."""
    return {kind: kind.split("+") for kind in options.content or []}


def data_dir(options: Options) -> Path | None:
    """What --data_dir says."""
    return Path(options.data_dir) if options.data_dir else None


def label(options: Options) -> str:
    """The data set for people, before it is read."""
    return Path(options.ratings).stem if options.ratings else options.dataset


def data_idle(options: Options) -> Iterator[tuple[str, str]]:
    """Flags of data and splits that do nothing beside the others, and why."""
    if options.ratings is None:
        yield from ((name, "needs --ratings") for name in ("columns", "duplicates"))
    else:
        yield "dataset", "is replaced by --ratings"
        yield "data_dir", "is not used with --ratings"
        yield "content", "is not used with --ratings"
    if options.has("split") and options.split is not None:
        yield from ((name, "is decided by --split") for name in ("min_ratings", "max_ratings", "heavy_users"))
        if options.has("seeds") and options.seeds > 1:
            yield "seeds", "above 1 needs splits of its own, not --split"


def protocol(options: Options) -> dict[str, Any]:
    """Keywords of a benchmark of ratings: shots, query and order where flags say them, and how users are split."""
    own = {"query": options.query, "order": options.order if options.has("order") else None}
    if options.has("shots"):
        own["shots"] = parse_shots(options.shots)
    own = {name: value for name, value in own.items() if value is not None}
    if not options.has("split"):
        return own
    if options.split is not None:
        return own | {"split": partial(_read_split, Path(options.split))}
    bounds = {"min_ratings": options.min_ratings, "max_ratings": options.max_ratings}
    return own | bounds | {"filter_training": not options.heavy_users}


def _read_split(path: Path, ratings: Ratings, seed: int):
    del seed
    return read_split(path, ratings)


def open_workdir(options: Options, text: str, name: str, flag: str = "workdir") -> Workdir:
    """The store of the run, if its folder may be used; nobody else's as long as the run lasts."""
    folder = claim(options.experiment, name, text, getattr(options, flag), flag)
    return options.ending.enter_context(contextlib.closing(Workdir(folder, text, flag)))
