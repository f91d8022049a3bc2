"""The table of few-shot classification: sorted by class, parts that share no class, names that decide the part."""

import numpy as np
import pytest

from metarec_jax.data.classes import Classes, by_class, check, hashed_parts
from metarec_jax.data.table import DataError

NAMES = [f"class {number}" for number in range(30)]
SIZES = {"train": 18, "valid": 4, "test": 8}


def table(**changes) -> Classes:
    parts = {"train": np.array([0]), "valid": np.array([2]), "test": np.array([1])}
    fields = {"x": np.zeros((6, 2)), "offsets": np.array([0, 3, 4, 6]), "class_names": ["a", "b", "c"], "parts": parts}
    return Classes("toy", source="a test", **(fields | changes))


def test_sorting_by_class_keeps_the_order_within_a_class():
    order, offsets = by_class(np.array([2, 0, 2, 0, 0]), 4)
    assert order.tolist() == [1, 3, 4, 0, 2] and offsets.tolist() == [0, 3, 3, 5, 5]


def test_hashed_parts_share_no_class_and_depend_on_names_and_seed_only():
    parts = hashed_parts(NAMES, SIZES)
    assert {part: len(members) for part, members in parts.items()} == SIZES
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(30))
    shuffled = NAMES[::-1]
    again = {part: {shuffled[member] for member in members} for part, members in hashed_parts(shuffled, SIZES).items()}
    assert again == {part: {NAMES[member] for member in members} for part, members in parts.items()}
    assert hashed_parts(NAMES, SIZES, seed=1)["test"].tolist() != parts["test"].tolist()
    with pytest.raises(ValueError, match="are not 29 classes"):
        hashed_parts(NAMES[:-1], SIZES)


def test_what_does_not_fit_together_is_refused():
    assert check(table(), "here").sizes.tolist() == [3, 1, 2]
    wrong = {
        "rows do not fit 3 classes": {"x": np.zeros((5, 2))},
        "class 'b' has 0 examples": {"offsets": np.array([0, 4, 4, 6])},
        r"share classes \['c'\]": {"parts": {part: np.array([2]) for part in ("train", "valid", "test")}},
        "parts train": {"parts": {"train": np.array([0])}},
    }
    for message, changes in wrong.items():
        with pytest.raises(DataError, match=f"here: toy: .*{message}|{message}"):
            check(table(**changes), "here")
