"""Training ratings by candidate, the data of content-based neighbours (`models.history`)."""

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.data.table import Ratings
from metarec_jax.models.history import History
from metarec_jax.ops.rows import map_rows
from metarec_jax.ops.similarity import unit_rows
from metarec_jax.priors.statistics import TooLarge
from metarec_jax.types import Array, Examples, Inputs, Learner, Params

MAX_CELLS = 400_000_000  # owners times candidates, at 5 bytes each


def read_history(train: Ratings, learner: Learner, params: Params) -> History:
    """The ratings of a table as residuals from a learner's predictions without support ratings.

    Args:
      train: the training ratings; `user` holds the owners.
      learner, params: the learner that predicts.

    Raises:
      TooLarge: the table of owners by candidates has more than `MAX_CELLS` cells.
    """
    owners, candidates = train.num_users, train.num_items
    if owners * candidates > MAX_CELLS:
        raise TooLarge(f"{train.name} is {owners} x {candidates}, and a dense table of all ratings too large")
    content = jnp.asarray(train.item_features.values)

    @jax.jit
    def expected(contexts: Array) -> Array:
        def predict_owner(context: Array) -> Array:
            x = Inputs(jnp.arange(candidates), content, context)
            no_ratings = Examples(map_rows(lambda leaf: leaf[:1], x), jnp.zeros(1), jnp.zeros(1))
            return learner.predict(learner.adapt(params, no_ratings), x)

        return jax.lax.map(predict_owner, contexts)

    values = train.user_features.values
    residual, rated = np.zeros((candidates, owners), np.float32), np.zeros((candidates, owners), bool)
    residual[train.item, train.user] = train.rating - np.asarray(expected(jnp.asarray(values)))[train.user, train.item]
    rated[train.item, train.user] = True
    scale = np.maximum(values.std(0), 1e-3)  # a rare author says more than a common genre
    arrays = np.float32(unit_rows(values / scale)), np.float32(scale), residual, rated
    return History(*(jnp.asarray(leaf) for leaf in arrays))
