"""Folds of users, and fits without each of them in the axes of the fit to all."""

import dataclasses

import numpy as np
import pytest

from metarec_jax.data.synthetic.gaussian_world import make_world
from metarec_jax.priors import taste
from metarec_jax.priors.folds import FOLDS, rotation, tables_without, user_folds

PROCESS = {"rank": 4, "shrink": 5.0}


@pytest.fixture(scope="module")
def table():
    return make_world(3, users=203, items=40, ratings_per_user=15, dims=3).ratings


def test_folds_are_of_one_size_and_their_tables_hold_everybody_else(table):
    folds = user_folds(table)
    assert sorted(np.bincount(folds)) == [40, 40, 41, 41, 41]
    for number, without in enumerate(tables_without(table)):
        assert set(without.user_ids) == set(table.user_ids[folds != number])
        assert len(without.rating) == np.sum(folds[table.user] != number)


def test_a_user_s_fold_is_of_its_id_and_not_of_its_number(table):
    backwards = dataclasses.replace(table, user_ids=table.user_ids[::-1])
    np.testing.assert_array_equal(user_folds(backwards), user_folds(table)[::-1])


def test_a_table_of_one_user_is_not_cut(table):
    alone = table.keep_rows(np.flatnonzero(table.user == 0))
    assert {len(without.rating) for without in tables_without(alone)} == {len(alone.rating)}


def test_the_rotation_is_found_again():
    rng = np.random.default_rng(0)
    vectors, turn = rng.normal(size=(30, 5)), np.linalg.qr(rng.normal(size=(5, 5)))[0]
    found = rotation(vectors @ turn, vectors, rng.uniform(1, 9, 30))
    np.testing.assert_allclose(found, turn.T, atol=1e-5)
    np.testing.assert_allclose(found @ found.T, np.eye(5), atol=1e-5)


def test_items_with_more_weight_are_brought_nearer():
    rng = np.random.default_rng(1)
    vectors, target = rng.normal(size=(2, 6, 2))
    far = [np.sum((vectors @ rotation(vectors, target, weights) - target)[0] ** 2) for weights in np.eye(6)[[1, 0]]]
    assert far[1] < far[0]


def test_a_turned_process_predicts_the_same(table):
    """Covariance of ratings, prior means and what users' features predict do not depend on the axes."""
    whole, apart = taste.fitted(table, **PROCESS), taste.cross_fitted(table, **PROCESS)
    assert len(apart) == FOLDS
    for own, without in zip(apart, tables_without(table), strict=True):
        plain, turned = taste.fitted(without, **PROCESS), own
        for left, right in (("phi", "phi"), ("phi", "intercept"), ("population", "phi"), ("content_phi", "phi")):
            products = [np.asarray(fits.process[left]) @ np.asarray(fits.process[right]).T for fits in (plain, turned)]
            np.testing.assert_allclose(*products, atol=2e-4)
        np.testing.assert_allclose(
            plain.choice[:, :32] @ plain.choice[:, :32].T, turned.choice[:, :32] @ turned.choice[:, :32].T, atol=1e-3
        )
        np.testing.assert_array_equal(plain.choice[:, 32:], turned.choice[:, 32:])
        before, after = (
            np.sum((np.asarray(fits.process["phi"]) - whole.process["phi"]) ** 2) for fits in (plain, turned)
        )
        assert after <= before * (1 + 1e-4)
