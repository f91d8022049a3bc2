"""Glyphs: always the same, no look-alikes, case pairs together, and thinning that keeps what hangs together."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from metarec_jax.data.sets import glyphs

EIGHT = np.ones((3, 3))


@pytest.fixture(scope="module")
def classes():
    return glyphs.load()


def test_as_many_classes_as_omniglot_and_drawn_alike(classes):
    assert len(classes.class_names) > 1600 and (classes.sizes == 20).all()
    assert classes.x.shape == (20 * len(classes.class_names), 28, 28) and classes.x.dtype == np.uint8
    assert set(np.unique(classes.x)) == {0, 1} and 0.05 < classes.x.mean() < 0.1  # Omniglot: 0.08
    ink = classes.x.sum((1, 2))
    assert ink.min() >= 1 and np.quantile(ink, 0.99) < 160
    shares = np.array([len(classes.parts[part]) for part in ("train", "valid", "test")]) / len(classes.class_names)
    np.testing.assert_allclose(shares, (0.7, 0.1, 0.2), atol=0.03)


def test_drawings_of_a_class_differ_and_are_made_the_same_again():
    (kept, drawings), again = glyphs.make("Rw5oO"), glyphs.make("Rw5oO")
    assert kept == again[0] == ["R", "w", "5", "o"]
    np.testing.assert_array_equal(drawings, again[1])
    assert len({drawing.tobytes() for drawing in drawings}) == 80


def test_case_pairs_and_accents_are_in_one_part(classes):
    part_of = {classes.class_names[c]: part for part, members in classes.parts.items() for c in members}
    for family in ("aAáàâä", "rRŕř", "дД", "ωΩ"):
        assert len({part_of[character] for character in family if character in part_of}) == 1
    letters = {}
    for character, part in part_of.items():
        assert letters.setdefault(unicodedata.normalize("NFKD", character).casefold()[0], part) == part


def test_look_alikes_are_one_class(classes):
    names = set(classes.class_names)
    assert len(names & set("AΑА")) == 1  # Latin, Greek, Cyrillic
    assert len(names & set("oOоο")) <= 2 and names >= set("aR5")


def test_a_bar_a_dot_and_a_ring_are_thinned_to_their_middle():
    ink = np.zeros((3, 12, 12), bool)
    ink[0, 4:7, 1:11] = True
    ink[1, 4:6, 4:6] = True
    ink[2, 2:10, 2:10] = True
    ink[2, 5:7, 5:7] = False
    bar, dot, ring = glyphs.thinned(ink)
    assert bar[5, 2:9].all() and bar.sum() == bar[5].sum()
    assert dot.sum() == 1
    assert ndimage.label(~ring)[1] == 2 and ring.sum() < 30


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), share=st.floats(0.1, 0.9))
def test_thinning_keeps_components_and_takes_only_ink_away(seed, share):
    ink = np.zeros((4, 14, 14), bool)
    ink[:, 2:-2, 2:-2] = np.random.default_rng(seed).random((4, 5, 5)).repeat(2, 1).repeat(2, 2) < share
    thin = glyphs.thinned(ink)
    assert not (thin & ~ink).any()
    np.testing.assert_array_equal(glyphs.thinned(thin), thin)
    for before, after in zip(ink, thin, strict=True):
        assert ndimage.label(after, EIGHT)[1] == ndimage.label(before, EIGHT)[1]
