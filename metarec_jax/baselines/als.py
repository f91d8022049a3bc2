"""Matrix factorisation by alternating least squares, with a new user's vector and bias solved jointly by ridge.

r = mu + b_i + b_u + q_i . p_u. With `weighted` the penalty of a vector is multiplied by the number of ratings of its
row, as in ALS-WR (Zhou, Wilkinson, Schreiber and Pan 2008, "Large-scale parallel collaborative filtering for the
Netflix prize", section 3.2); otherwise it is the same for all rows, the prior of a probabilistic model.
"""

import jax.numpy as jnp
import numpy as np

from metarec_jax.data.table import Ratings
from metarec_jax.ops.least_squares import fold_in, normal_equations, solve_rows
from metarec_jax.priors.bias import fit_biases
from metarec_jax.types import Array, Baseline, Examples, Fast, Inputs, Params


def fit(
    train: Ratings,
    *,
    dim: int = 16,
    reg: float = 0.05,
    weighted: bool = True,
    reg_bias: float = 5.0,
    sweeps: int = 8,
    seed: int = 0,
) -> Params:
    """Vectors and biases of the items. Those of the training users are not kept, because test users are new.

    Args:
      train: the training ratings.
      dim: length of a vector.
      reg: penalty of the vectors, with ratings in units of their standard deviation; sensible values are 0.02 to 0.1
        with `weighted`, and 2 to 20 without.
      weighted: multiply `reg` by the row's number of ratings, in training and in the fold-in.
      reg_bias: penalty of the biases in pseudo-ratings.
      sweeps: number of alternations.
      seed: of the initial vectors.

    Returns:
      item [I], mu + b_i in rating units; factors [I, dim]; scale [] the standard deviation of the ratings;
      reg, weighted, reg_bias [].
    """
    mean, item_bias, _ = fit_biases(train, reg_bias, reg_bias)
    scale = float(train.rating.std()) + 1e-6
    rating = ((train.rating - mean) / scale).astype(np.float32)
    diagonal = np.arange(dim + 1)
    rng = np.random.default_rng(seed)
    item = rng.normal(0.0, 0.1, (train.num_items, dim + 1)).astype(np.float32)
    item[:, dim] = item_bias / scale  # a row is [q_i, b_i], and [p_u, b_u] for a user

    def half_sweep(vectors: np.ndarray, columns: np.ndarray, rows: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        target = rating[rows] - vectors[columns, dim]
        design = np.hstack([vectors[:, :dim], np.ones((len(vectors), 1), np.float32)])
        count = np.maximum(np.diff(offsets), 1) if weighted else np.ones(len(offsets) - 1)
        gram, moment = normal_equations(design, columns, target, offsets)
        gram[:, diagonal[:-1], diagonal[:-1]] += (reg * count[:, None]).astype(np.float32)
        gram[:, dim, dim] += reg_bias
        return solve_rows(gram, moment)

    for _ in range(sweeps):
        user = half_sweep(item, train.item, np.arange(len(rating)), train.user_offsets)
        user[:, dim] -= user[:, dim].mean()  # so that a new user's bias starts at 0
        item = half_sweep(user, train.user[train.item_order], train.item_order, train.item_offsets)
    return {
        "item": jnp.float32(mean + scale * item[:, dim]),
        "factors": jnp.float32(item[:, :dim]),
        "scale": jnp.float32(scale),
        "reg": jnp.float32(reg),
        "weighted": jnp.float32(weighted),
        "reg_bias": jnp.float32(reg_bias),
    }


def adapt(params: Params, support: Examples) -> Fast:
    """vector [dim] and user [] bias of the new user: the user's half of a sweep, on the support set."""
    residual = (support.y - params["item"][support.x.id]) / params["scale"]
    penalties = (params["reg"], params["weighted"], params["reg_bias"])
    user = params["scale"] * fold_in(params["factors"][support.x.id], residual, support.mask, *penalties)
    return {"item": params["item"], "factors": params["factors"], "vector": user[:-1], "user": user[-1]}


def predict(fast: Fast, x: Inputs) -> Array:
    """[N] ratings mu + b_i + b_u + q_i . p_u."""
    return fast["item"][x.id] + fast["user"] + fast["factors"][x.id] @ fast["vector"]


ALS = Baseline(fit, adapt, predict)
