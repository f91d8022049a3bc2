"""The questions on cold starts: what a task is, who answers, and how much is asked by default.

A learner is a function of one task and does not know which question it is: in `Inputs` the id and the content are the
candidate's, the context is the task's owner's, whichever of them is the user.
"""

from collections.abc import Callable
from typing import NamedTuple

from experiments.common.methods import Methods
from experiments.common.runner import Protocol
from metarec_jax.baselines import BASELINES, ITEM_BASELINES
from metarec_jax.data.table import Ratings
from metarec_jax.recipes import ITEM_RECIPES, RECIPES
from metarec_jax.tasks.splits import Split, split_users
from metarec_jax.tasks.users_and_items import split_both


class ColdStart(NamedTuple):
    """A question on cold starts."""

    name: str  # of the experiment
    table: Callable[[Ratings], Ratings]  # of a data set: the table whose `user` column holds the tasks' owners
    split: Callable[..., Split]  # (table, seed=..., query=..., ...), see `split_users`
    methods: Methods
    learners: list[str]  # those that run when nothing is said
    protocol: Protocol  # asked when nothing is said
    unseen: float = 0.0  # share of the training episodes whose items are known by content alone; see `training_tasks`


USER_COLD_START = ColdStart(
    "user_cold_start",
    lambda ratings: ratings,
    split_users,
    Methods(BASELINES, RECIPES),
    ["protonet", "maml", "ridge", "attentive_ridge"],
    Protocol([0, 1, 3, 5, 10, 20], query=10, order="random"),
)
ITEM_COLD_START = ColdStart(
    "item_cold_start",
    Ratings.transposed,
    split_users,
    Methods(ITEM_BASELINES, ITEM_RECIPES),
    ["metaemb", "mwuf", "dropoutnet", "clcrec", "ridge", "attentive_ridge", "history_ridge"],
    Protocol([0, 1, 3, 5, 10], query=10, order="random"),
)
BOTH_COLD_START = USER_COLD_START._replace(
    name="both_cold_start",
    split=split_both,
    protocol=Protocol([0, 1, 3, 5], query=5, order="random"),
    unseen=1.0,
)
QUESTIONS = {question.name: question for question in (USER_COLD_START, ITEM_COLD_START, BOTH_COLD_START)}
