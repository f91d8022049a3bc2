"""Scripts that put one trained learner to use: its flags, and its training, which goes on from a checkpoint."""

from collections.abc import Collection
from typing import NamedTuple

from experiments import main
from experiments.main import Options
from experiments.measure import configured
from experiments.workdir import Workdir
from metarec_jax.benchmarks import Benchmark, Fold, Trained
from metarec_jax.benchmarks.single import train_for_use

FLAGS = (
    "dataset", "data_dir", "ratings", "columns", "duplicates", "content", "query", "seed", "learner", "set", "steps",
    "workdir",
)  # fmt: skip


class Use(NamedTuple):
    """A trained learner, and what it was trained on."""

    name: str
    trained: Trained
    fold: Fold
    store: Workdir


def named(options: Options, names: Collection[str]) -> str:
    """What --learner says.

    Raises:
      ValueError: it is not among the names.
    """
    if options.learner not in names:
        raise ValueError(f"--learner: unknown {options.learner!r}; choose one of {', '.join(names)}.")
    return options.learner


def train(options: Options, benchmark: Benchmark) -> Use:
    """Train the learner that the flags ask for, as the script of the benchmark does.

    Raises:
      ValueError: a flag is wrong, or would do nothing.
    """
    name = named(options, benchmark.learners())
    (recipe,) = configured(options, [benchmark.recipes[name]])
    text = options.stamp(main.data_idle(options))
    store = main.open_workdir(options, text, main.label(options))
    trained, fold = train_for_use(benchmark, recipe, main.load_ratings(options), seed=options.seed, store=store)
    return Use(name, trained, fold, store)
