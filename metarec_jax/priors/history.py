"""Training ratings by candidate: what content-based neighbours know."""

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.data.table import Ratings
from metarec_jax.models.history import History
from metarec_jax.ops.similarity import unit_rows
from metarec_jax.types import Array, Examples, Inputs, Learner, Params

MAX_CELLS = 400_000_000  # of owners by candidates, at 5 bytes


def read_history(train: Ratings, learner: Learner, params: Params) -> History:
    """The ratings of a table, less what a learner expects of an owner of whom no rating is known.

    Raises:
      ValueError: a table of owners by candidates larger than `MAX_CELLS`.
    """
    owners, candidates = train.num_users, train.num_items
    if owners * candidates > MAX_CELLS:
        raise ValueError(f"{train.name}: {owners} x {candidates} is too large for a learner that keeps all ratings.")
    content = jnp.asarray(train.item_features.values)

    @jax.jit
    def expected(contexts: Array) -> Array:
        def of_one(context: Array) -> Array:
            x = Inputs(jnp.arange(candidates), content, jnp.broadcast_to(context, (candidates, len(context))))
            nothing = Examples(jax.tree.map(lambda part: part[:1], x), jnp.zeros(1), jnp.zeros(1))
            return learner.predict(learner.adapt(params, nothing), x)

        return jax.lax.map(of_one, contexts)

    values = train.user_features.values
    left, rated = np.zeros((candidates, owners), np.float32), np.zeros((candidates, owners), bool)
    left[train.item, train.user] = train.rating - np.asarray(expected(jnp.asarray(values)))[train.user, train.item]
    rated[train.item, train.user] = True
    scale = np.maximum(values.std(0), 1e-3)  # a rare author says more than a common genre
    parts = np.float32(unit_rows(values / scale)), np.float32(scale), left, rated
    return History(*(jnp.asarray(part) for part in parts))
