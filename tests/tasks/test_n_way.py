"""N-way K-shot episodes: distinct classes and examples, uniform labels, quarter turns, unbalanced shots."""

import itertools
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_uniform
from hypothesis import given, settings
from hypothesis import strategies as st

from metarec_jax.data.classes import Classes
from metarec_jax.tasks.n_way import n_way

SIZES = np.array([6, 9, 6, 7, 8, 6])
PARTS = {"train": np.array([0, 1, 3, 4]), "valid": np.array([2]), "test": np.array([5])}
OFFSETS = np.concatenate([[0], SIZES.cumsum()])
OWNER = np.repeat(np.arange(len(SIZES)), SIZES)


def classes(x) -> Classes:
    return Classes("toy", x, OFFSETS, list("abcdef"), PARTS, "a test")


@pytest.fixture(scope="module")
def pictures() -> Classes:
    """uint8 [N, 4, 4]: no two equal, whichever way they are turned; values of 0 to 255 as they are no ink."""
    return classes(np.random.default_rng(0).integers(0, 256, (OFFSETS[-1], 4, 4)).astype(np.uint8))


@partial(jax.jit, static_argnums=0)
def _episodes(sample, data, seeds):
    return jax.vmap(lambda seed: sample(data, jax.random.key(seed)))(seeds)


def episodes(tasks, seeds):
    """[len(seeds)] leading on every leaf, as numpy."""
    return jax.tree.map(np.asarray, _episodes(tasks.sample, tasks.data, jnp.asarray(seeds)))


@pytest.fixture(scope="module")
def rows():
    """Tasks whose x is a pytree: the number of the row, and twice that."""
    number = np.arange(OFFSETS[-1], dtype=np.int32)
    return n_way(classes({"row": number, "twice": 2.0 * number[:, None]}), "train", ways=3, shots=2, query=4)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31 - 9))
def test_every_key_gives_a_valid_episode(rows, seed):
    drawn = episodes(rows, seed + np.arange(8))
    for support, query, label, asked in zip(
        drawn.support.x["row"], drawn.query.x["row"], drawn.support.y, drawn.query.y, strict=True
    ):
        assert label.tolist() == [0, 0, 1, 1, 2, 2] and asked.tolist() == [0] * 4 + [1] * 4 + [2] * 4
        owners = OWNER[support].reshape(3, 2)
        assert (owners == owners[:, :1]).all() and (OWNER[query].reshape(3, 4) == owners[:, :1]).all()
        assert len(set(owners[:, 0])) == 3 and set(owners[:, 0]) <= set(PARTS["train"])
        assert len({*support, *query}) == 18  # nothing twice, nothing both known and asked
    np.testing.assert_array_equal(drawn.query.x["twice"][..., 0], 2 * drawn.query.x["row"])
    assert drawn.support.mask.all() and drawn.query.mask.all() and drawn.support.y.dtype == np.int32


def test_every_order_of_classes_and_every_example_is_equally_likely(rows):
    drawn = episodes(rows, np.arange(6000))
    owners = OWNER[drawn.support.x["row"]].reshape(-1, 3, 2)[:, :, 0]
    orders = list(itertools.permutations(PARTS["train"].tolist(), 3))
    assert_uniform([np.sum((owners == order).all(1)) for order in orders])
    for at in (drawn.support.x["row"], drawn.query.x["row"]):
        counts = np.bincount(at.ravel(), minlength=OFFSETS[-1])
        for member in PARTS["train"]:
            assert_uniform(counts[OFFSETS[member] : OFFSETS[member + 1]])


@pytest.mark.parametrize(("rotations", "mirrored"), [(True, False), (True, True), (False, True)])
def test_quarter_turns_and_mirror_images_are_classes_of_their_own(pictures, rotations, mirrored):
    tasks = n_way(pictures, "valid", ways=2, shots=2, query=1, rotations=rotations, mirrored=mirrored)
    drawn = episodes(tasks, np.arange(400))
    assert drawn.support.x.shape == (400, 4, 4, 4, 1) and drawn.support.x.dtype == np.float32
    shown = np.concatenate([drawn.support.x.reshape(400, 2, 2, 4, 4), drawn.query.x.reshape(400, 2, 1, 4, 4)], 2)
    own = pictures.x[OFFSETS[2] : OFFSETS[3]]
    sides, turns = [own, own[:, :, ::-1]][: 1 + mirrored], range(4 if rotations else 1)
    by_hand = np.stack([np.rot90(side, turn, (1, 2)) for side in sides for turn in turns], 1)  # [6, 4 or 8 or 2, 4, 4]
    found = (shown[..., None, None, :, :] == by_hand).all((-1, -2))  # [400, ways, examples, 6, 4 or 8 or 2]
    assert (found.sum((-1, -2)) == 1).all()
    which = found.any(-2).argmax(-1)
    assert (which == which[:, :, :1]).all()  # all of a class are turned one way
    assert (which[:, 0, 0] != which[:, 1, 0]).all()  # and no way twice, as there is one character
    assert_uniform(np.bincount(which[:, 0, 0], minlength=by_hand.shape[1]))


def test_pictures_of_a_plain_episode_are_the_tables(pictures):
    drawn = episodes(n_way(pictures, "test", ways=1, shots=2, query=4), [0])
    known = {picture.tobytes() for picture in pictures.x[OFFSETS[5] :]}
    assert {picture.astype(np.uint8).tobytes() for picture in drawn.query.x[0, ..., 0]} < known


def test_unbalanced_shots_are_masked_class_by_class(pictures):
    tasks = n_way(pictures, "train", ways=3, shots=(1, 3), query=2)
    mask = episodes(tasks, np.arange(900)).support.mask.reshape(900, 3, 3)
    numbers = mask.sum(-1).astype(int)
    assert (mask == (np.arange(3) < numbers[..., None])).all()
    for way in range(3):
        assert_uniform(np.bincount(numbers[:, way], minlength=4)[1:])
    assert abs(np.corrcoef(numbers[:, 0], numbers[:, 1])[0, 1]) < 0.1


def test_bytes_and_features_stay_as_they_are():
    text = np.arange(OFFSETS[-1] * 5, dtype=np.uint8).reshape(-1, 5)
    drawn = episodes(n_way(classes(text), "train", ways=2, shots=1, query=1), [0])
    assert drawn.query.x.dtype == np.uint8
    assert {tuple(one) for one in drawn.query.x[0]} < {tuple(one) for one in text}


def test_zero_shots_make_an_empty_support(pictures):
    drawn = episodes(n_way(pictures, "train", ways=2, shots=0, query=3), [0])
    assert drawn.support.x.shape == (1, 0, 4, 4, 1) and drawn.query.y.tolist() == [[0, 0, 0, 1, 1, 1]]


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"ways": 5}, "5 ways of 2 to 2 shots, with 4 classes for train"),
        ({"ways": 17, "rotations": True}, "with 16 classes for train"),
        ({"ways": 33, "rotations": True, "mirrored": True}, "with 32 classes for train"),
        ({"shots": (3, 2)}, "of 3 to 2 shots"),
        ({"query": 5}, r"class 'a' of toy has 6 examples, not 2 \+ 5"),
    ],
)
def test_what_cannot_be_drawn_is_refused(pictures, wrong, message):
    with pytest.raises(ValueError, match=message):
        n_way(pictures, "train", **({"ways": 2, "shots": 2, "query": 2} | wrong))


def test_data_are_an_argument_and_the_sampler_is_traced_once(pictures):
    tasks = n_way(pictures, "train", ways=2, shots=1, query=1, rotations=True)
    traced = jax.make_jaxpr(tasks.sample)(tasks.data, jax.random.key(0))
    assert all(np.size(const) < 16 for const in traced.consts)
    sample = jax.jit(chex.assert_max_traces(tasks.sample, 1))
    first, again = (sample(tasks.data, jax.random.key(7)) for _ in range(2))
    chex.assert_trees_all_equal(first, again)
