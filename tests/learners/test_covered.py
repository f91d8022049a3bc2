"""Every learner has a test of its mathematics beside the properties that all learners share."""

from pathlib import Path

import pytest
from learner_table import COVERED_BY

TESTS = Path(__file__).parents[1]
LEARNERS = TESTS.parent / "metarec_jax" / "learners"
MODULES = [
    str(path.relative_to(LEARNERS).with_suffix("")) for path in sorted(LEARNERS.rglob("*.py")) if path.stem[0] != "_"
]


@pytest.mark.parametrize("module", MODULES)
def test_it_has_a_test_file_or_the_table_says_which_one_covers_it(module):
    family, name = module.rsplit("/", 1)
    own = TESTS / "learners" / family / f"test_{name}.py"
    assert own.exists() != (module in COVERED_BY), f"write {own.relative_to(TESTS.parent)} or a row of COVERED_BY"
    assert (own if own.exists() else TESTS / COVERED_BY[module]).exists()


def test_the_table_names_no_learner_that_is_gone():
    assert set(COVERED_BY) <= set(MODULES)
