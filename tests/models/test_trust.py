"""Factors of what was fitted."""

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.models.recommender import TasteNet
from metarec_jax.models.trust import ItemNoise, TasteRating, TrustedTaste
from metarec_jax.types import Inputs

ITEMS = 7
TASTE = TasteNet(ITEMS, mean=0.5, dim=5)
NET = TrustedTaste(TASTE, content=2)


def inputs() -> Inputs:
    rng = np.random.default_rng(0)
    return Inputs(jnp.array([3, 0, 6]), jnp.float32(rng.normal(size=(3, 2))), jnp.float32(rng.normal(size=4)))


def params(net=NET):
    own = net.init(jax.random.key(1), inputs())["params"]
    rng = np.random.default_rng(2)
    own["taste"] = jax.tree.map(lambda leaf: jnp.float32(rng.normal(size=leaf.shape)), own["taste"])
    return own | {"id_count": {"table": jnp.float32(rng.normal(size=(ITEMS, 1)))}}


def test_it_starts_as_the_taste_network():
    own = params()
    for found, expected in zip(
        NET.apply({"params": own}, inputs()), TASTE.apply({"params": own["taste"]}, inputs()), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_every_part_has_its_factor():
    own, x = params(), inputs()
    trust = {
        "group": [0.3, -0.2, 0.1],
        "tail": 0.7,
        "axes": [0.0, 0.1, 0.2, 0.3, 0.4],
        "group_by_count": [0.05, 0.06, 0.07],
        "mean": [0.2, -0.1],
        "shift": 0.15,
        "population": -0.4,
    }
    changed = own | {name: jnp.float32(value) for name, value in trust.items()}
    features, mean = TASTE.apply({"params": own["taste"]}, x)
    alone = TASTE.apply({"params": own["taste"]}, x._replace(context=jnp.zeros(4)))[1]
    count = np.asarray(own["id_count"]["table"])[np.asarray(x.id)]
    # the bias, two of content, two factors, the second of which is the last
    scale = np.array([0.3, -0.2 + 0.1, -0.2 + 0.2, 0.1 + 0.3, 0.1 + 0.4 - 0.7])
    scale = scale + count * np.array([0.05, 0.06, 0.06, 0.07, 0.07])
    found_features, found_mean = NET.apply({"params": changed}, x)
    np.testing.assert_allclose(found_features, features * np.exp(scale), rtol=1e-5)
    expected = alone * (1.2 - 0.1 * count[:, 0]) + 0.15 + (mean - alone) * 0.6
    np.testing.assert_allclose(found_mean, expected, rtol=1e-4, atol=1e-5)


def test_a_rating_is_the_mean_plus_the_weighted_features():
    net = TasteRating(NET)
    own = net.init(jax.random.key(0), inputs())["params"]
    weights = jnp.arange(5.0)
    features, mean = NET.apply({"params": own["trusted"]}, inputs())
    found = net.apply({"params": own | {"weights": weights}}, inputs())
    np.testing.assert_allclose(found, mean + features @ weights, rtol=1e-5)
    assert (np.asarray(own["weights"]) == 0).all()


def test_item_noise_is_a_power_of_the_fitted_one_and_goes_with_the_count():
    own = ItemNoise(ITEMS).init(jax.random.key(0), inputs())["params"]
    assert (np.asarray(ItemNoise(ITEMS).apply({"params": own}, inputs())) == 0).all()
    noise, count = np.linspace(-1, 1, ITEMS), np.linspace(2, 3, ITEMS)
    own = {
        "id_item_noise": {"table": jnp.float32(noise)[:, None]},
        "id_count": {"table": jnp.float32(count)[:, None]},
        "power": jnp.float32(-0.3),
        "by_count": jnp.float32(0.2),
    }
    found, ids = ItemNoise(ITEMS).apply({"params": own}, inputs()), [3, 0, 6]
    np.testing.assert_allclose(found, 0.7 * noise[ids] + 0.2 * count[ids], rtol=1e-6)
