"""Multimodal ridge: at first the Gaussian process it starts from; groups are hidden in training and nowhere else."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax import objectives
from metarec_jax.baselines import gp
from metarec_jax.data.synthetic.gaussian_world import make_world
from metarec_jax.learners.closed_form.multimodal_ridge import ContentTaste, multimodal_ridge, start
from metarec_jax.learners.closed_form.ridge import ridge
from metarec_jax.models.content import ContentEncoder, group_spans, hide_groups
from metarec_jax.models.recommender import TasteNet
from metarec_jax.priors.gp import fit
from metarec_jax.tasks.users import training_tasks
from metarec_jax.types import Episode, Params


@functools.cache
def table():
    return make_world(0, users=60, items=30, ratings_per_user=12, dims=2).ratings


@functools.cache
def fitted() -> Params:
    return fit(table(), rank=4)


def episode() -> Episode:
    tasks = training_tasks(table(), support=5, query=4, vary_support=False)
    return jax.jit(tasks.sample)(tasks.data, jax.random.key(0))


def build(hide: float):
    dim, mean = fitted()["phi"].shape[1], float(table().rating.mean())
    spans = group_spans(table().user_features.names)
    net = ContentTaste(TasteNet(table().num_items, mean, dim), ContentEncoder(spans, dim, 8))
    rule = multimodal_ridge(net, objectives.squared_error, spans=spans, hide=hide)
    content = jnp.asarray(table().item_features.values)
    params = jax.jit(rule.init)(jax.random.key(0), episode())
    return net, rule, start(params, fitted(), mean, content, spans)


def test_it_starts_as_the_process():
    _, rule, params = build(0.5)
    task = episode()
    for support in (task.support, task.support._replace(mask=jnp.zeros(5))):
        found = rule.predict(rule.adapt(params, support), task.query.x)
        expected = gp.predict(gp.adapt(fitted(), support), task.query.x)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_groups_are_hidden_in_the_loss_alone_and_from_support_and_query():
    net, rule, params = build(0.5)
    task, spans = episode(), group_spans(table().user_features.names)
    head = ridge(net, objectives.squared_error)
    losses = {}
    for shown in (0.0, 1.0):
        parts = [
            part._replace(x=part.x._replace(context=hide_groups(part.x.context, spans, jnp.full(1, shown))))
            for part in task
        ]
        losses[shown] = float(head.loss(params, Episode(*parts), jax.random.key(0))[0])
    assert abs(losses[0.0] - losses[1.0]) > 1e-4
    loss = jax.jit(rule.loss)
    found = np.array([float(loss(params, task, jax.random.key(seed))[0]) for seed in range(20)])
    hidden = np.isclose(found, losses[0.0], rtol=1e-5)
    assert (hidden | np.isclose(found, losses[1.0], rtol=1e-5)).all() and 0 < hidden.sum() < 20
    whole = objectives.squared_error(rule.predict(rule.adapt(params, task.support), task.query.x), task.query)[0]
    np.testing.assert_allclose(whole, losses[1.0], rtol=1e-5)


def test_nothing_is_hidden_at_a_rate_of_0():
    _, rule, params = build(0.0)
    first, second = (float(rule.loss(params, episode(), jax.random.key(seed))[0]) for seed in (0, 1))
    assert first == second
