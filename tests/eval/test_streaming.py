"""All held-out users block by block, over devices: what one batch of all of them finds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarec_jax.eval.metrics import RANKING
from metarec_jax.eval.predict import PredictionError, mean_squared_errors
from metarec_jax.eval.ranking import ranks_of
from metarec_jax.eval.streaming import HeldOutUsers, Sizes, ask
from metarec_jax.types import Baseline, Episode, Examples, Inputs

ITEMS, USERS = 40, 11
CONTENT = np.random.default_rng(0).integers(0, 3, (ITEMS, 4)).astype(np.float32)


def taste() -> Baseline:
    """Predicts by content and what was rated high."""

    def adapt(params, support):
        return params * ((support.mask * (support.y - 3.0)) @ support.x.content)

    return Baseline(lambda train: 1.0, adapt, lambda fast, x: 3.0 + x.content @ fast)


def tasks() -> Episode:
    """[USERS] users of 3 + 4 ratings, some of fewer."""
    rng = np.random.default_rng(1)
    items = np.stack([rng.permutation(ITEMS)[:7] for _ in range(USERS)]).astype(np.int32)
    ratings = rng.integers(1, 6, items.shape).astype(np.float32)
    mask = (rng.random(items.shape) < 0.8).astype(np.float32)
    mask[:, 3] = 1.0  # one of the query at least

    def part(where: slice) -> Examples:
        x = Inputs(items[:, where], CONTENT[items[:, where]], np.zeros((USERS, 0), np.float32))
        return Examples(x, ratings[:, where], mask[:, where])

    return Episode(part(slice(0, 3)), part(slice(3, 7)))


def asked(whole: Episode) -> HeldOutUsers:
    def blocks(own, size):
        for start in range(0, len(own), size):
            yield jax.tree.map(lambda leaf, start=start: leaf[own[start : start + size]], whole)

    return HeldOutUsers(np.array([f"u{number}" for number in range(USERS)]), blocks)


def expected(whole: Episode, liked: float) -> dict[str, np.ndarray]:
    """One user after the other, all items at once."""
    found = []
    for user in range(USERS):
        support, query = (jax.tree.map(lambda leaf, user=user: leaf[user], part) for part in whole)
        relevant = np.where((query.mask > 0) & (query.y >= liked), query.x.id, -1)
        known = np.where(support.mask > 0, support.x.id, -1)
        fast, content = taste().adapt(1.0, support), jnp.asarray(CONTENT)
        places = ranks_of(taste().predict, fast, content, jnp.zeros(0), relevant, known)[0]
        found.append({metric.name: metric.function(places) for metric in RANKING})
    return {metric: np.array([one[metric] for one in found]) for metric in found[0]}


@pytest.mark.parametrize(
    ("sizes", "devices"), [(Sizes(block=4, batch=3, items=9), 2), (Sizes(block=64, batch=64, items=512), 1)]
)
def test_blocks_over_devices_find_what_all_at_once_does(sizes, devices):
    whole, told = tasks(), []
    found = ask(
        "taste",
        taste(),
        jnp.float32(1.0),
        CONTENT,
        asked(whole),
        liked=4.0,
        sizes=sizes,
        devices=jax.devices()[:devices],
        on_block=told.append,
    )
    np.testing.assert_allclose(found.pop("rmse"), mean_squared_errors(taste(), 1.0, whole), rtol=1e-6)
    wanted = expected(whole, 4.0)
    assert found.keys() == wanted.keys() and sum(told) == USERS
    for metric, values in wanted.items():
        np.testing.assert_allclose(found[metric], values, rtol=1e-5, err_msg=metric)
        assert np.isfinite(values).sum() > 5


def test_without_what_is_liked_nothing_is_ranked():
    assert list(ask("taste", taste(), jnp.float32(1.0), CONTENT, asked(tasks()))) == ["rmse"]


def test_the_user_of_a_prediction_that_is_not_finite_is_named():
    whole = tasks()
    whole.support.y[7] = np.inf
    whole.support.mask[7] = 1.0
    devices = jax.devices()[:2]
    with pytest.raises(PredictionError, match=r"taste .* user u7 \(1 of 5 users of a block\)"):
        ask("taste", taste(), jnp.float32(1.0), CONTENT, asked(whole), sizes=Sizes(block=8), devices=devices)


def test_what_reading_raises_ends_the_asking():
    def blocks(own, size):
        yield from asked(tasks()).blocks(own[:size], size)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        ask("taste", taste(), jnp.float32(1.0), CONTENT, HeldOutUsers(np.arange(USERS), blocks), sizes=Sizes(block=4))
