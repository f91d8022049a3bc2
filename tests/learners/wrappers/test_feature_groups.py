"""A learner on some groups of the context sees these and no others."""

import jax
import jax.numpy as jnp
import numpy as np
from learner_table import ITEMS, taste_net

from metarec_jax.learners.closed_form.alpaca import alpaca
from metarec_jax.learners.wrappers.feature_groups import on_groups
from metarec_jax.models.content import Span
from metarec_jax.types import Episode, Examples, Inputs


def part(rows: int, seed: int) -> Examples:
    """`rows` candidates rated by an owner of whom five numbers are known."""
    rng = np.random.default_rng(seed)
    context = np.arange(1.0, 6.0, dtype=np.float32)
    ids = rng.permutation(ITEMS)[:rows].astype(np.int32)
    x = Inputs(jnp.asarray(ids), jnp.asarray(rng.normal(size=(rows, 2)), jnp.float32), jnp.asarray(context))
    return Examples(x, jnp.asarray(rng.normal(size=rows), jnp.float32), jnp.ones(rows))


def test_it_is_the_learner_on_a_smaller_context():
    inner, task = alpaca(taste_net()), Episode(part(4, 0), part(3, 1))
    rule = on_groups(inner, [Span("b", 1, 3), Span("d", 4, 5)])
    params = jax.jit(rule.init)(jax.random.key(0), task)
    assert params["net"]["context_taste"]["kernel"].shape[0] == 3
    params["net"]["context_taste"]["kernel"] = jax.random.normal(jax.random.key(1), (3, 6))
    smaller = Episode(*(p._replace(x=p.x._replace(context=p.x.context[jnp.array([1, 2, 4])])) for p in task))
    fast, expected = rule.adapt(params, task.support), inner.adapt(params, smaller.support)
    for found, wanted in (
        (rule.predict(fast, task.query.x), inner.predict(expected, smaller.query.x)),
        (rule.variance(fast, task.query.x), inner.variance(expected, smaller.query.x)),
        (rule.update(fast, task.query)["weights"], inner.update(expected, smaller.query)["weights"]),
        (rule.loss(params, task, jax.random.key(2))[0], inner.loss(params, smaller, jax.random.key(2))[0]),
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_of_no_group_it_sees_none():
    rule = on_groups(alpaca(taste_net()), [])
    params = jax.jit(rule.init)(jax.random.key(0), Episode(part(4, 0), part(3, 1)))
    assert "context_taste" not in params["net"]
