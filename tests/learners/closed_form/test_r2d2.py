"""The ridge classifier beside its formula, and Proto-MAML beside the prototypes that it starts from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learner_table import Body

from metarec_jax.learners.closed_form.r2d2 import r2d2
from metarec_jax.learners.gradient.proto_maml import proto_maml
from metarec_jax.learners.metric.protonet import protonet
from metarec_jax.objectives import cross_entropy
from metarec_jax.types import Episode, Examples


def episode(rows: int) -> Episode:
    rng = np.random.default_rng(0)

    def part(rows: int) -> Examples:
        y = jnp.arange(rows, dtype=jnp.int32) % 3
        return Examples(jnp.asarray(rng.normal(size=(rows, 5)), jnp.float32), y, jnp.ones(rows))

    return Episode(part(rows), part(6))


@pytest.mark.parametrize("rows", [3, 9])  # fewer and more than the 4 embedding dimensions
def test_r2d2_is_the_paper_s_formula(rows):
    task, rule = episode(rows), r2d2(Body(), cross_entropy, ways=3, lam=2.0, scale=4.0)
    params = rule.init(jax.random.key(0), task)
    found = rule.predict(rule.adapt(params, task.support), task.query.x)
    x, query = (np.asarray(Body().apply({"params": params["net"]}, part.x), np.float64) for part in task)
    wanted = np.eye(3)[np.asarray(task.support.y)]
    weights = x.T @ np.linalg.solve(x @ x.T + 2.0 * np.eye(rows), wanted)  # equation 6
    np.testing.assert_allclose(found, 4.0 * query @ weights, atol=1e-5)


def test_proto_maml_starts_as_a_prototype_classifier():
    """Without a step its probabilities are those of Prototypical Networks on the same body."""
    task = episode(7)
    start, metric = proto_maml(Body(), cross_entropy, ways=4, lr=0.1, steps=0), protonet(Body(), cross_entropy, ways=4)
    params = start.init(jax.random.key(0), task)
    found = jax.nn.log_softmax(start.predict(start.adapt(params, task.support), task.query.x))
    same = metric.init(jax.random.key(0), task) | {"net": params["body"]}
    wanted = metric.predict(metric.adapt(same, task.support), task.query.x)
    np.testing.assert_allclose(found[:, :3], wanted[:, :3], atol=1e-5)
    assert (np.exp(found[:, 3]) == 0).all(), "the fourth class has no support"
