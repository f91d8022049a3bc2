"""What a run of tuned settings says of the users whom tuning has seen."""

import pytest

from experiments.measure import seen_before
from metarec_jax.search.tuned import Tuned


@pytest.mark.parametrize(
    ("dataset", "seeds", "hashes", "others"),
    [
        ("x", [7], "abc", ""),
        ("x", [6, 7, 8], ["def", "abc", "012"], "of seed 6, 8,"),
        ("x", [6], "def", "of seed 6,"),
        ("y", [6, 7], ["def", "abc"], ""),  # of another data set no user was seen
    ],
)
def test_it_is_said_of_which_seeds_test_users_were_seen_in_tuning(dataset, seeds, hashes, others):
    tuned = Tuned("x", "abc", 7, {}, {})
    line = seen_before("mine.json", tuned, {"dataset": {"name": dataset}, "seeds": seeds, "split": {"sha256": hashes}})
    assert others in line and bool(line) == bool(others)
    assert not line or line.startswith("mine.json was tuned on one split, that of seed 7.")
