"""The ridge head: the posterior by hand, and the classical Gaussian process that it can start from."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import random_table
from toy_tasks import rating_task

from metarec_jax import objectives
from metarec_jax.baselines.gp import GP
from metarec_jax.data.table import Features
from metarec_jax.learners.closed_form.ridge import from_gaussian_process, ridge
from metarec_jax.models.choice import ChoicePrior
from metarec_jax.models.recommender import TasteNet
from metarec_jax.types import Episode, Examples, Inputs

RAW = random_table(3, users=40, items=20, least=8, most=15)
SCALED = [dataclasses.replace(of, values=of.values / 20.0) for of in (RAW.user_features, RAW.item_features)]
TABLES = {
    "side features": dataclasses.replace(RAW, user_features=SCALED[0], item_features=SCALED[1]),
    "ids alone": dataclasses.replace(RAW, user_features=Features.none(40), item_features=Features.none(20)),
}


def test_mean_and_variance_are_those_of_the_posterior():
    """In the primal: precision I + F' F / noise, mean covariance F' (y - prior mean) / noise; a masked row is none."""
    net = TasteNet(20, mean=3.0, dim=4)
    rule, task = ridge(net, objectives.squared_error, noise=0.7), rating_task(np.random.default_rng(0))
    params = rule.init(jax.random.key(0), task)
    support = task.support._replace(mask=task.support.mask.at[1].set(0.0))
    fast = rule.adapt(params, support)
    real = np.array([0, 2, 3, 4, 5])
    (features, mean), (asked, cold) = (
        map(np.asarray, net.apply({"params": params["net"]}, x)) for x in (task.support.x, task.query.x)
    )
    covariance = np.linalg.inv(np.eye(4) + features[real].T @ features[real] / 0.7)
    weights = covariance @ features[real].T @ (np.asarray(support.y) - mean)[real] / 0.7
    np.testing.assert_allclose(rule.predict(fast, task.query.x), cold + asked @ weights, rtol=1e-5)
    variance = 0.7 + np.einsum("nd,de,ne->n", asked, covariance, asked)
    np.testing.assert_allclose(rule.variance(fast, task.query.x), variance, rtol=1e-5)


@pytest.mark.parametrize("choice", [False, True], ids=["no prior", "choice prior"])
@pytest.mark.parametrize("name", TABLES)
def test_started_from_the_gaussian_process_it_predicts_what_the_process_predicts(name, choice):
    table = TABLES[name]
    fitted = GP.fit(table, rank=4)
    dim = fitted["phi"].shape[1]
    items, rating = np.split(np.random.default_rng(0).permutation(20), [6]), jnp.array([1.0, 4.5, 3.0, 5.0, 2.5, 0.5])

    def inputs(ids) -> Inputs:
        context = table.user_features.values[0]
        return Inputs(jnp.asarray(ids), jnp.asarray(table.item_features.values[ids]), jnp.asarray(context))

    support = Examples(inputs(items[0]), rating, jnp.ones(6))
    prior = ChoicePrior(20, dim, width=3) if choice else None
    rule = ridge(TasteNet(20, mean=3.0, dim=dim), objectives.squared_error, prior=prior)
    params = rule.init(jax.random.key(0), Episode(support, support))
    params = from_gaussian_process(params, fitted, 3.0, jnp.asarray(table.item_features.values))
    for known in (support, support._replace(mask=jnp.zeros(6))):
        expected = GP.predict(GP.adapt(fitted, known), inputs(items[1]))
        np.testing.assert_allclose(rule.predict(rule.adapt(params, known), inputs(items[1])), expected, atol=2e-5)
