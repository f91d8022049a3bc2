"""On a world with known factors the strong baselines beat the bias model, and nobody beats the exact posterior."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarec_jax.baselines import als, bias, content_ridge, fm, gp, item_knn
from metarec_jax.data.synthetic.gaussian_world import bayes_optimal, make_world
from metarec_jax.types import Examples, Inputs

WORLD = make_world(0, users=700, items=120, ratings_per_user=40, dims=3, noise=0.4, item_scale=0.6)
TABLE = WORLD.ratings
TRAIN = TABLE.keep_rows(np.flatnonzero(TABLE.user < 600))


def tasks(shots: int = 15) -> tuple[Examples, Examples]:
    """Support and query of the 100 users who are not in training, [100, shots] and [100, rest]."""
    rows = np.stack([np.flatnonzero(TABLE.user == u)[:40] for u in range(600, 700)])
    rows = np.random.default_rng(0).permuted(rows, axis=1)

    def examples(part: np.ndarray) -> Examples:
        items = TABLE.item[part]
        context = TABLE.user_features.values[600:]
        x = Inputs(jnp.asarray(items), jnp.asarray(TABLE.item_features.values[items]), jnp.asarray(context))
        return Examples(x, jnp.asarray(TABLE.rating[part]), jnp.ones(part.shape))

    return examples(rows[:, :shots]), examples(rows[:, shots:])


def error(baseline, params) -> float:
    """Root mean square error over all queries."""
    support, query = tasks()
    predicted = jax.jit(jax.vmap(lambda s, x: baseline.predict(baseline.adapt(params, s), x)))(support, query.x)
    return float(jnp.sqrt(jnp.mean((predicted - query.y) ** 2)))


@pytest.fixture(scope="module")
def reference() -> float:
    """RMSE of the bias model."""
    return error(bias.BIAS, bias.fit(TRAIN))


@pytest.mark.parametrize(
    ("baseline", "settings", "share"),
    [
        (item_knn.ITEM_KNN, {"shrink": 20.0, "damping": 0.3}, 0.97),
        (content_ridge.CONTENT_RIDGE, {"reg_population": 10.0}, 0.95),
        (als.ALS, {"dim": 4, "reg": 2.0, "weighted": False}, 0.8),
        (fm.FM, {"dim": 4, "l2": 0.03, "epochs": 40, "lr": 0.02, "batch": 1024}, 0.8),
        (gp.GP, {"rank": 8, "shrink": 20.0, "content": 0.3, "reg_population": 10.0}, 0.8),
    ],
    ids=["item_knn", "content_ridge", "als", "fm", "gp"],
)
def test_beats_the_bias_model(reference, baseline, settings, share):
    mine = error(baseline, baseline.fit(TRAIN, **settings))
    assert mine < share * reference
    floor = bayes_optimal(WORLD)
    assert mine > 0.98 * error(floor, floor.fit(TRAIN))
