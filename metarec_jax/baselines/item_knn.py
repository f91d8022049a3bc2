"""Item-kNN on residuals of the bias model (Koren 2010, "Factor in the neighbors", section 2.2)."""

import jax.numpy as jnp
import numpy as np

from metarec_jax.baselines import bias
from metarec_jax.data.table import Ratings
from metarec_jax.priors.bias import fit_biases
from metarec_jax.priors.statistics import co_sums
from metarec_jax.types import Array, Baseline, Examples, Fast, Inputs, Params


def pearson(train: Ratings, residual: np.ndarray, shrink: float) -> np.ndarray:
    """Shrunk correlation n / (n + shrink) * rho of the residuals [R] over the n users who rated both items, [I, I].

    rho is the adjusted cosine, because the biases of user and item are already subtracted. 0 where n is 0.
    """
    products, count = co_sums(train, residual), co_sums(train)
    scale = np.sqrt(np.maximum(np.diag(products) / np.maximum(np.diag(count), 1), 1e-12))
    # products / (n scale_i scale_j) is rho with each item's variance over all its raters, less noisy than over the n.
    similarity = products / ((count + shrink) * scale[:, None] * scale)
    np.fill_diagonal(similarity, 0.0)
    return np.clip(similarity, -1.0, 1.0)


def nearest(similarity: Array, neighbours: Array) -> Array:
    """`similarity` [N, K] with 0 for all but the `neighbours` [] largest positive entries of each row.

    `neighbours` is an array, so entries are selected by a threshold: those tied with the last one are kept, whatever
    the order of K.
    """
    if similarity.shape[1] == 0:
        return similarity
    descending = -jnp.sort(-similarity, axis=1)
    last = jnp.clip(neighbours.astype(jnp.int32), 1, similarity.shape[1]) - 1
    return jnp.where(similarity >= descending[:, last, None], jnp.maximum(similarity, 0.0), 0.0)


def fit(
    train: Ratings,
    *,
    neighbours: int = 30,
    shrink: float = 50.0,
    damping: float = 0.2,
    reg_user: float = 5.0,
    reg_item: float = 5.0,
) -> Params:
    """The bias model and similarity [I, I].

    Args:
      train: the training ratings.
      neighbours: number of the most similar support items used for a prediction.
      shrink: pseudo-users with correlation 0 in each similarity.
      damping: pseudo-similarity with residual 0 in each prediction, which shrinks predictions from few or weak
        neighbours.
      reg_user: pseudo-ratings of the user biases.
      reg_item: pseudo-ratings of the item biases.

    Raises:
      TooLarge: more items than `statistics.MAX_ITEMS`.
    """
    mean, item, user = fit_biases(train, reg_user, reg_item)
    residual = train.rating - mean - item[train.item] - user[train.user]
    return {
        "item": jnp.float32(mean + item),
        "reg_user": jnp.float32(reg_user),
        "similarity": jnp.asarray(pearson(train, residual, shrink)),
        "neighbours": jnp.float32(neighbours),
        "damping": jnp.float32(damping),
    }


def adapt(params: Params, support: Examples) -> Fast:
    """The user's bias, and id, residual and mask [K] of the support ratings."""
    fast = bias.adapt(params, support)
    residual = support.y - bias.predict(fast, support.x)
    shared = {name: params[name] for name in ("similarity", "neighbours", "damping")}
    return {**fast, **shared, "id": support.x.id, "mask": support.mask, "residual": residual}


def predict(fast: Fast, x: Inputs) -> Array:
    """[N] ratings: bias plus the damped weighted mean of the neighbours' residuals (eq. 3)."""
    similarity = fast["similarity"][x.id[:, None], fast["id"]] * fast["mask"]
    weight = nearest(similarity, fast["neighbours"])
    return bias.predict(fast, x) + weight @ fast["residual"] / (weight.sum(1) + fast["damping"])


ITEM_KNN = Baseline(fit, adapt, predict)
