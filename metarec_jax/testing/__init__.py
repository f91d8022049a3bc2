"""The properties that every method must have, to check a method of your own.

    check_learner(my_learner, episode)
    check_baseline(MY_BASELINE, train, episode, shrink=5.0)

Each returns the names of the properties that hold, or raises `ConformanceError` with the name of the first that does
not and what to look at. It takes seconds, so it belongs into your tests; `LEARNER_PROPERTIES` and
`BASELINE_PROPERTIES` are what is checked. What needs training (that it learns, that a resumed run ends in the same
bits, that many devices do as one) is not.
"""

from metarec_jax.testing.check import ConformanceError, check_baseline, check_learner
from metarec_jax.testing.table import BASELINE_PROPERTIES, LEARNER_PROPERTIES, Property

__all__ = [
    "BASELINE_PROPERTIES",
    "LEARNER_PROPERTIES",
    "ConformanceError",
    "Property",
    "check_baseline",
    "check_learner",
]
