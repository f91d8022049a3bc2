"""Flags of every experiment on held-out tasks: which ratings, which split, how many ratings are known.

An experiment adopts them (`flags.adopt_module_key_flags(dataflags)`); they are then part of its own help and stamp.
"""

from collections.abc import Iterator
from pathlib import Path

from absl import flags

from experiments.common.questions import ColdStart
from experiments.common.runner import Protocol
from metarec_jax import data
from metarec_jax.data.io.ratings_file import parse_columns, read_ratings
from metarec_jax.data.table import Ratings
from metarec_jax.eval.grid_search import Shots
from metarec_jax.tasks.split_file import read_split
from metarec_jax.tasks.splits import Split

DATASET = flags.DEFINE_enum("dataset", "ml-100k", list(data.DATASETS), "Data set.")
DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of data sets; default METAREC_DATA_DIR, then a cache folder.")
CONTENT = flags.DEFINE_list(
    "content", None, "Kinds of item features of --dataset, such as genre+year,title; default: the set's own."
)
RATINGS = flags.DEFINE_string("ratings", None, "A .csv, .tsv or .parquet file of your own instead of --dataset.")
COLUMNS = flags.DEFINE_string("columns", None, "Columns of --ratings, e.g. user=uid,item=isbn,rating=stars.")
SPLIT = flags.DEFINE_string("split", None, "File with columns user,item,rating,role instead of a hashed split.")
SHOTS = flags.DEFINE_list(
    "shots",
    None,
    "Support ratings K, for example 0,5,10; 'all' is whatever the query leaves. Default: the experiment's.",
)
QUERY = flags.DEFINE_integer(
    "query", None, "Ratings of a held-out task to be predicted. Default: the experiment's.", lower_bound=1
)
ORDER = flags.DEFINE_enum("order", None, ["random", "time"], "Order in which a task's ratings are revealed.")
MIN_RATINGS = flags.DEFINE_integer("min_ratings", 0, "Held-out tasks have at least so many ratings.", lower_bound=0)
MAX_RATINGS = flags.DEFINE_integer("max_ratings", None, "Held-out tasks have at most so many ratings.", lower_bound=1)
HEAVY = flags.DEFINE_bool("heavy_users", True, "Train on tasks outside min_ratings..max_ratings too.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of split and training.", lower_bound=0)


def parse_protocol(question: ColdStart) -> Protocol:
    """The Ks, ascending, "all" last, with query and order.

    Raises:
      ValueError: a K that is neither a number nor "all".
    """
    asked = question.protocol
    shots = parse_shots(asked.shots)
    return asked._replace(shots=shots, query=QUERY.value or asked.query, order=ORDER.value or asked.order)


def parse_shots(default: list[Shots]) -> list[Shots]:
    """The Ks that --shots asks for, ascending, "all" last; where it is not set, the `default`.

    Raises:
      ValueError: a K that is neither a number nor "all".
    """
    if SHOTS.value is None:
        return default
    for text in SHOTS.value or [""]:
        if text != "all" and not (text.isascii() and text.isdigit()):
            raise ValueError(f"--shots: {text!r} is neither a number nor 'all'.")
    numbers = sorted({int(text) for text in SHOTS.value if text != "all"})
    return [*numbers, *(["all"] if "all" in SHOTS.value else [])]


def idle_flags() -> Iterator[tuple[flags.FlagHolder, str]]:
    """Flags of this file that do nothing beside the others, and why."""
    if RATINGS.value is None:
        yield COLUMNS, "needs --ratings"
    else:
        yield DATASET, "is replaced by --ratings"
        yield DATA_DIR, "is not used with --ratings"
        yield CONTENT, "is not used with --ratings"
    if SPLIT.value is not None:
        yield from ((flag, "is decided by --split") for flag in (MIN_RATINGS, MAX_RATINGS, HEAVY))


def label() -> str:
    """The data set for people, before it is read."""
    return Path(RATINGS.value).stem if RATINGS.value else DATASET.value


def modalities() -> dict[str, list[str]]:
    """The kinds of item features that --content names, and the groups of columns (parted by "+") of each."""
    return {kind: kind.split("+") for kind in CONTENT.value or []}


def load_ratings() -> Ratings:
    """The table that the flags ask for."""
    if RATINGS.value is not None:
        return read_ratings(Path(RATINGS.value), parse_columns(COLUMNS.value or ""))
    groups = None if CONTENT.value is None else [group for kind in modalities().values() for group in kind]
    return data.load(DATASET.value, Path(DATA_DIR.value) if DATA_DIR.value else None, groups)


def load_split(question: ColdStart, ratings: Ratings, seed: int) -> Split:
    """The split that the flags ask for, of the question's table."""
    if SPLIT.value is not None:
        return read_split(Path(SPLIT.value), ratings)
    protocol = parse_protocol(question)
    return question.split(
        ratings,
        seed=seed,
        query=protocol.query,
        order=protocol.order,
        min_ratings=MIN_RATINGS.value,
        max_ratings=MAX_RATINGS.value,
        filter_training=not HEAVY.value,
    )
