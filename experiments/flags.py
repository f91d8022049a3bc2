"""Every flag of every experiment, each defined once. A script names those that it has, and its own defaults.

Importing this defines nothing with absl: `experiments/main.py` makes the flags of one script when it is run.
"""

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from absl import flags

from metarec_jax import data
from metarec_jax.data.duplicates import RULES


class Flag(NamedTuple):
    """A flag: one of absl's DEFINE functions, and what it takes beside the name."""

    define: Callable
    default: Any
    help: str
    more: dict[str, Any] = {}


def _text(default: str | None, text: str) -> Flag:
    return Flag(flags.DEFINE_string, default, text)


def _list(default: Any, text: str) -> Flag:
    return Flag(flags.DEFINE_list, default, text)


def _switch(default: bool, text: str) -> Flag:
    return Flag(flags.DEFINE_bool, default, text)


MOST = 2**31 - 1  # what counts of steps, ratings and seeds are held in


def _whole(default: int | None, text: str, least: int = 1, most: int = MOST) -> Flag:
    return Flag(flags.DEFINE_integer, default, text, {"lower_bound": least, "upper_bound": most})


def _choice(default: str | None, values: Iterable[str], text: str) -> Flag:
    return Flag(flags.DEFINE_enum, default, text, {"enum_values": list(values)})


DATA = {
    "dataset": _choice("ml-100k", data.DATASETS, "Data set."),
    "data_dir": _text(None, "Folder of data sets; default METAREC_DATA_DIR, then a cache folder."),
    "content": _list(None, "Kinds of item features of --dataset, such as genre+year,title; default: the set's own."),
    "ratings": _text(None, "A file of your own, .csv, .parquet and others, instead of --dataset."),
    "columns": _text(None, "Columns of --ratings by name or number, e.g. user=uid,item=isbn,rating=3."),
    "duplicates": _choice("error", RULES, "What a user's ratings of one item in --ratings become."),
}
SPLIT = {
    "split": _text(None, "File with columns user,item,rating,role instead of a hashed split."),
    "min_ratings": _whole(0, "Held-out tasks have at least so many ratings.", 0),
    "max_ratings": _whole(None, "Held-out tasks have at most so many ratings."),
    "heavy_users": _switch(True, "Train on tasks outside min_ratings..max_ratings too."),
}
PROTOCOL = {
    "shots": _list(None, "Known examples K, for example 0,5,10; for ratings 'all' is whatever the query leaves."),
    "query": _whole(None, "Examples of a held-out task to be predicted."),
    "order": _choice(None, ["random", "time"], "Order in which a task's ratings are revealed."),
    "seed": _whole(0, "Seed of split and training.", 0),
    "seeds": _whole(1, "Runs, with seeds seed, seed + 1, ...", 1, 10_000),
}
METHODS = {
    "learners": _list(None, "all, none, or names of learners; a wrong name shows all of them."),
    "baselines": _list("all", "all, none, or names of baselines; a wrong name shows all of them."),
    "methods": _list("all", "all, or names of methods; a wrong name shows all of them."),
    "learner": _text("ridge", "The learner; a wrong name shows all of them."),
    "tuned": _text(None, "File of settings from experiments/tune.py."),
    "set": Flag(flags.DEFINE_multi_string, [], "Hyper-parameter of a learner: NAME.KEY=VALUE. May be repeated."),
    "steps": _whole(None, "Meta-training steps of every learner."),
}
DEVICES = {
    "devices": _whole(
        1, "Devices that share the tasks of a step; on a CPU they are virtual, ask for one a core.", 1, 1024
    ),
    "parallel": _choice("jit", ["jit", "shard_map", "pmap"], "How to spread tasks over devices."),
    "id_tables": _choice(
        "dense",
        ["dense", "rows", "sharded"],
        "Update whole tables of ids, or only the rows that a step's tasks meet (lazy Adam, for big catalogues), or "
        "these with the tables cut over the devices.",
    ),
}
PLACES = {
    "workdir": _text(None, "Where everything is written; default below runs/."),
    "out": _text(None, "Folder or file of the results; default below runs/."),
    "file": _text(None, "The file to write; default LEARNER.zip in the work directory."),
    "storage": _text(
        None,
        "Where trials are, which processes may share: a SQLite file on one machine; on several the URL of a database, "
        "postgresql+psycopg2://user:password@host/name (pip install psycopg2-binary) or "
        "mysql+pymysql://user:password@host/name (pip install pymysql). Default: a file in the work directory.",
    ),
    "port": _whole(8000, "Port of 127.0.0.1; 0 is any that is free.", 0, 65535),
}
OWN = {  # of one or two experiments
    "feedback": _whole(10, "Ratings in a batch of feedback."),
    "positions": _whole(101, "Ratings of a user that are followed, at most.", 2),
    "liked": _text(
        None, "The rating from which an item is liked, or 'any'. Default: three quarters up the scale, 4 of 1..5."
    ),
    "rank": _choice("items", ["items", "users"], "Rank all items for a new user, or all users for a new item."),
    "least": _whole(15, "Held-out users like at least so many items.", 2),
    "partition": _text(None, "File of the cold users and items; default: the one beside ml-1m."),
    "examples": _whole(12, "Test users whose reasons are shown."),
    "ask": _choice("known", ["known", "any"], "Items that a user may be asked about."),
    "questions": _whole(10, "Questions to a user."),
    "part": _choice("test", ["test", "valid"], "The held-out users that are asked."),
    "benchmark": _choice(
        "user_cold_start", ["user_cold_start", "item_cold_start", "both_cold_start"], "The experiment to tune for."
    ),
    "trials": _whole(20, "Trials of every method."),
    "support": _whole(10, "Support ratings.", 1, 10**6),
    "vary": _text(None, "KEY=VALUE,VALUE,...: a real number of the learner's space, and its values."),
    "tasks": _whole(600, "Test tasks.", 2, 10**6),
}
FEW_SHOT = {
    "ways": _list("5", "Classes of a test episode."),
    "minutes": Flag(
        flags.DEFINE_float, None, "Minutes of training of each learner, instead of steps.", {"lower_bound": 0.0}
    ),
    "episodes": _whole(600, "Test episodes.", 2, 10**6),
    "statistics": _choice(
        "published",
        ["published", "own"],
        "Whose statistics batch normalisation uses: as in each paper, or never those of other queries.",
    ),
    "mirror": _switch(False, "Train on mirror images as well, as classes of their own."),
    "jitter": _switch(False, "Turn, stretch, slant and move every picture of training a little."),
    "train_on": _choice(
        "omniglot",
        ["omniglot", "all_but_test", "glyphs"],
        "Where training classes are from. all_but_test: Omniglot's training and validation classes, as Snell et al. "
        "train in the end; what validation then says is of classes that are trained on, so settle everything else "
        "before.",
    ),
    "features": _choice("ngrams", ["ngrams", "bytes", "sentences"], "What stands for a text."),
    "vectors_dir": _text(None, "Folder of sentence vectors; default: in the user's cache."),
}
SCALE = {
    "columns_dir": _text(None, "Folder of scripts/make_columns.py, instead of a data set."),
    "fit_users": _whole(
        10_000, "With --columns_dir, training users from whom is taken what is fitted before the training."
    ),
    "valid_users": _whole(1000, "With --columns_dir, validation users who are asked."),
    "every": _whole(100, "Steps between validations and checkpoints."),
    "batch": _whole(32, "Tasks a step, of all devices together."),
    "shards": _whole(8, "Parts of the training users; a multiple of all devices.", 1, 10**6),
    "row_scale": _switch(
        False, "One second moment a row of the tables: they and their moments are twice the tables, not 3 times."
    ),
    "deterministic": _switch(
        False, "Add up gradients of shards in one order on any number of devices: less rounding, more to send."
    ),
    "microbatch": _whole(None, "Tasks at a time, gradients added up: less memory."),
    "matmul": _choice(
        "float32",
        ["float32", "bfloat16"],
        "What accelerators multiply in; parameters, sums and everything else stay float32. A CPU has no use for it.",
    ),
    "test": _choice(
        "none",
        ["none", "ratings", "catalogue"],
        "What test users are asked in the end: nothing; their ratings; these, and where the ones that they like (those "
        "three quarters up the scale) stand among all items.",
    ),
    "test_users": _whole(None, "So many test users, at random, instead of all."),
    "items": _whole(8192, "With --test=catalogue, items scored at a time."),
    "coordinator": _text(None, "address:port of the first of several processes."),
    "processes": _whole(None, "How many there are."),
    "process": _whole(None, "Which of them this is, 0 being the first.", 0),
    "cluster": _switch(False, "Ask the cluster for these three."),
}
SPEED = {  # of the scripts that measure speed
    "json": _text(None, "File for the figures."),
    "rounds": _whole(7, "Timed rounds; the median counts."),
    "length": _whole(100, "Steps that are timed together."),
    "inner_steps": _whole(1, "Gradient steps of the inner loop."),
    "torch_python": _text(None, "Interpreter that has torch."),
    "threads": _whole(os.cpu_count() or 1, "Threads of PyTorch."),
}
EVERY: dict[str, Flag] = DATA | SPLIT | PROTOCOL | METHODS | DEVICES | PLACES | OWN | FEW_SHOT | SCALE | SPEED
BENCHMARK = (*DATA, *SPLIT, *PROTOCOL, "learners", "baselines", "tuned", "set", "steps", *DEVICES, "workdir")


def define(
    names: Iterable[str],
    defaults: Mapping[str, Any],
    choices: Mapping[str, Collection[str]] = MappingProxyType({}),
    own: Mapping[str, Flag] = MappingProxyType({}),
) -> flags.FlagValues:
    """The flags of one script.

    Args:
      names: which.
      defaults: the script's own, by flag.
      choices: what its flags may be, by flag, where that is not what they usually may be.
      own: flags of this script alone.
    """
    values = flags.FlagValues()
    for name, flag in ({name: EVERY[name] for name in names} | dict(own)).items():
        more = flag.more | ({"enum_values": list(choices[name])} if name in choices else {})
        flag.define(name, defaults.get(name, flag.default), help=flag.help, flag_values=values, **more)
    return values
