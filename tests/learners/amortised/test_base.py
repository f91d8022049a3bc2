"""Networks that read a support set, block by block and by hand: CNP, ANP and the set transformer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarec_jax import objectives
from metarec_jax.learners.amortised.anp import AttentiveMemory, anp
from metarec_jax.learners.amortised.cnp import MeanMemory, cnp
from metarec_jax.learners.amortised.set_transformer import AttentionBlock, set_transformer
from metarec_jax.models.recommender import TasteNet
from metarec_jax.models.sets import Attention, GaussianDecoder, PairEncoder, shrunk_mean
from metarec_jax.ops.similarity import attend
from metarec_jax.types import Episode, Examples, Inputs

ITEMS = 6


def test_gaussian_nll_by_hand():
    """At the mean with variance 1 it is log sqrt(2 pi); 3 away with variance 4 it is that plus log 2 + 9 / 8."""
    examples = Examples(None, jnp.array([2.0, 5.0, 9.0]), jnp.array([1.0, 1.0, 0.0]))
    outputs = jnp.array([2.0, 2.0, 0.0]), jnp.array([1.0, 4.0, 1e-3])
    loss, metrics = objectives.gaussian_nll(outputs, examples)
    at_the_mean = 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(loss, (2 * at_the_mean + np.log(2) + 9 / 8) / 2, rtol=1e-6)
    assert metrics["loss"] == loss


def test_gaussian_nll_is_least_at_the_error_that_was_made():
    examples = Examples(None, jnp.array([3.0]), jnp.ones(1))
    slope = jax.grad(lambda variance: objectives.gaussian_nll((jnp.array([1.0]), variance), examples)[0])
    np.testing.assert_allclose(slope(jnp.array([4.0])), 0.0, atol=1e-7)
    assert slope(jnp.array([3.0])) < 0 < slope(jnp.array([5.0]))


def test_shrunk_mean_by_hand():
    """(1 + 3) / (2 + 2) and (2 + 6) / (2 + 2), with 2 / (2 + 2) beside them; nothing for no ratings."""
    values = jnp.array([[1.0, 2.0], [3.0, 6.0], [99.0, 99.0]])
    np.testing.assert_allclose(shrunk_mean(values, jnp.array([1.0, 1.0, 0.0]), 2.0), [1.0, 2.0, 0.5])
    np.testing.assert_allclose(shrunk_mean(values[:0], jnp.zeros(0), 2.0), [0.0, 0.0, 0.0])


def test_cnp_remembers_the_mean_of_the_encoded_pairs():
    rng = np.random.default_rng(0)
    features, residual, mask = rng.normal(size=(3, 2)), rng.normal(size=3), np.array([1.0, 0.0, 1.0])
    memory = MeanMemory(width=4, count=2.0, dropout=0.0)
    written, variables = memory.init_with_output(jax.random.key(0), features, residual, mask, method="write")
    encoded = PairEncoder(4).apply({"params": variables["params"]["encoder"]}, features, residual)
    expected = np.append((encoded[0] + encoded[2]) / 4, 0.5)
    np.testing.assert_allclose(written, expected, rtol=1e-5, atol=1e-6)


def test_attention_with_one_hot_keys_picks_the_value():
    keys, values = 50 * np.eye(3)[:, None], np.arange(6.0).reshape(3, 1, 2)
    found = attend(jnp.asarray(np.eye(3)[[2, 0], None]), jnp.asarray(keys), jnp.asarray(values), jnp.ones(3))
    np.testing.assert_allclose(found[:, 0], [[4, 5], [0, 1]], atol=1e-5)


def test_attention_by_hand():
    """Two heads: scores (2, 0) / sqrt(2) in the first and 0 in the second; a masked key is nowhere."""
    queries = jnp.array([[[2.0, 0.0], [0.0, 0.0]]])
    keys = jnp.array([[[1.0, 0.0], [1.0, 1.0]], [[0.0, 1.0], [5.0, 5.0]], [[9.0, 9.0], [9.0, 9.0]]])
    values = jnp.array([[[1.0], [1.0]], [[0.0], [0.0]], [[7.0], [7.0]]])
    found = attend(queries, keys, values, jnp.array([1.0, 1.0, 0.0]))
    first = np.exp(2**0.5) / (np.exp(2**0.5) + 1)
    np.testing.assert_allclose(found[0, :, 0], [first, 0.5], rtol=1e-6)


@pytest.mark.parametrize("rows", [0, 3])
def test_attention_to_nothing_is_the_empty_slot(rows):
    module, rng = Attention(heads=2, head_dim=3), np.random.default_rng(0)
    queries, set_rows, mask = rng.normal(size=(4, 5)), rng.normal(size=(rows, 5)), np.zeros(rows)
    params = dict(module.init(jax.random.key(0), queries, set_rows, set_rows, mask)["params"])
    params["empty_value"] = jnp.arange(6.0).reshape(2, 3)
    found = module.apply({"params": params}, queries, set_rows, set_rows, mask)
    np.testing.assert_allclose(found, np.tile(np.arange(6.0), (4, 1)), rtol=1e-6)


def test_equal_keys_share_attention_with_the_empty_slot():
    """With keys mapped to 0 all scores are equal: n equal ratings weigh n / (n + 1)."""
    module, ones = Attention(heads=1, head_dim=1), np.ones((4, 1))
    params = dict(module.init(jax.random.key(0), ones, ones, ones, np.ones(4))["params"])
    params["key"], params["value"] = {"kernel": jnp.zeros((1, 1, 1))}, {"kernel": jnp.ones((1, 1, 1))}
    for n in (1, 4):
        mask = (np.arange(4) < n).astype(float)
        np.testing.assert_allclose(module.apply({"params": params}, ones[:1], ones, ones, mask), n / (n + 1), rtol=1e-6)


def test_anp_looks_up_the_ratings_of_items_like_the_candidate():
    """With sharp maps to keys a candidate's summary is the encoding of the one rated item with its features."""
    memory = AttentiveMemory(width=2, heads=1, count=1.0, dropout=0.0)
    features, residual, mask = jnp.eye(3), jnp.array([1.0, -1.0, 0.5]), jnp.ones(3)

    def both(memory, features, residual, mask):
        written = memory.write(features, residual, mask)
        return memory.recall(written, features), written

    variables = memory.init(jax.random.key(0), features, residual, mask, method=both)
    params = jax.tree.map(lambda leaf: leaf, variables["params"])
    sharp = jnp.array([[30.0, 0.0], [-15.0, 26.0], [-15.0, -26.0]])[:, None]  # three directions, 120 degrees apart
    params["attention"] |= {
        "query": {"kernel": sharp},
        "key": {"kernel": sharp},
        "value": {"kernel": jnp.eye(2)[:, None]},
    }
    found, written = memory.apply({"params": params}, features, residual, mask, method=both)
    np.testing.assert_allclose(found[:, :2], written["values"], atol=1e-5)
    np.testing.assert_allclose(found[:, 2:], jnp.tile(written["mean"], (3, 1)), rtol=1e-6)


def test_an_attention_block_is_equivariant_and_normalised():
    """Permuted rows come out permuted, each with mean 0 and variance 1 before the norm learns anything else."""
    block, rng = AttentionBlock(width=8, heads=2, dropout=0.0), np.random.default_rng(0)
    rows, order = rng.normal(size=(5, 8)).astype(np.float32), rng.permutation(5)
    mask = np.array([1.0, 1.0, 0.0, 1.0, 1.0])
    out, variables = block.init_with_output(jax.random.key(0), rows, rows, mask)
    turned = block.apply(variables, rows[order], rows[order], mask[order])
    np.testing.assert_allclose(turned, out[order], atol=1e-5)
    np.testing.assert_allclose(out.mean(-1), 0, atol=1e-5)
    np.testing.assert_allclose(out.var(-1), 1, atol=1e-3)


def test_standard_deviations_do_not_collapse():
    decoder, features = GaussianDecoder(width=4), np.ones((3, 2), np.float32)
    params = decoder.init(jax.random.key(0), features, np.ones(2))["params"]
    for bias, deviation in ((-100.0, 0.1), (0.0, 0.1 + 0.9 * np.log(2))):
        head = {"kernel": jnp.zeros((4, 2)), "bias": jnp.array([0.7, bias])}
        mean, variance = decoder.apply({"params": params | {"head": head}}, features, np.ones(2))
        np.testing.assert_allclose(mean, 0.7, rtol=1e-6)
        np.testing.assert_allclose(variance, deviation**2, rtol=1e-5)


def episode() -> Episode:
    rng = np.random.default_rng(0)
    items = rng.permutation(ITEMS).astype(np.int32)

    def part(rows) -> Examples:
        n = len(rows)
        x = Inputs(rows, np.zeros((n, 0), np.float32), np.zeros(0, np.float32))
        return Examples(x, rng.uniform(1, 5, size=n).astype(np.float32), np.ones(n, np.float32))

    return jax.tree.map(jnp.asarray, Episode(part(items[:4]), part(items[4:])))


@pytest.mark.parametrize("rule", [cnp, anp, set_transformer])
def test_an_untrained_network_predicts_nearly_the_prior_mean(rule):
    task, made = episode(), rule(TasteNet(ITEMS, mean=3.0, dim=3), width=8)
    params = jax.jit(made.init)(jax.random.key(0), task)
    params["net"]["id_bias"]["table"] = jnp.arange(ITEMS, dtype=jnp.float32)[:, None]
    params["decoder"]["head"]["bias"] = jnp.array([0.25, 0.0])
    found = made.predict(made.adapt(params, task.support), task.query.x)
    expected = 3.0 + np.asarray(task.query.x.id) + 0.25
    np.testing.assert_allclose(found, expected, atol=0.2)


def test_dropout_is_on_in_the_loss_only():
    task, rule = episode(), set_transformer(TasteNet(ITEMS, mean=3.0, dim=3), width=8, blocks=1, dropout=0.5)
    params = jax.jit(rule.init)(jax.random.key(0), task)
    params["decoder"]["head"]["kernel"] *= 100
    loss = jax.jit(rule.loss)
    losses = [float(loss(params, task, jax.random.key(seed))[0]) for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]
    found = rule.predict(rule.adapt(params, task.support), task.query.x)
    assert float(objectives.squared_error(found, task.query)[0]) not in losses


def test_the_objective_decides_whether_there_are_variances():
    task, net = episode(), TasteNet(ITEMS, mean=3.0, dim=3)
    with_them, without = cnp(net, width=4), cnp(net, objectives.squared_error, width=4)
    params = jax.jit(with_them.init)(jax.random.key(0), task)
    assert without.variance is None
    fast = with_them.adapt(params, task.support)
    outputs = with_them.predict(fast, task.query.x), with_them.variance(fast, task.query.x)
    expected = objectives.gaussian_nll(outputs, task.query)[0]
    np.testing.assert_allclose(with_them.loss(params, task, jax.random.key(0))[0], expected, rtol=1e-6)
    expected = objectives.squared_error(outputs[0], task.query)[0]
    np.testing.assert_allclose(without.loss(params, task, jax.random.key(0))[0], expected, rtol=1e-6)
