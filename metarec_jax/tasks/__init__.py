"""Task distributions and splits, one file a protocol."""

from metarec_jax.tasks.augment import jittered
from metarec_jax.tasks.catalogue import liked_only, split_liked, training_catalogue
from metarec_jax.tasks.episodes import episodes
from metarec_jax.tasks.histories import histories
from metarec_jax.tasks.n_way import n_way
from metarec_jax.tasks.sinusoid import sinusoids
from metarec_jax.tasks.split_file import read_split, write_split
from metarec_jax.tasks.splits import Split, split_users
from metarec_jax.tasks.users import training_tasks
from metarec_jax.tasks.users_and_items import split_users_and_items

__all__ = [
    "Split",
    "episodes",
    "histories",
    "jittered",
    "liked_only",
    "n_way",
    "read_split",
    "sinusoids",
    "split_users_and_items",
    "split_liked",
    "split_users",
    "training_catalogue",
    "training_tasks",
    "write_split",
]
