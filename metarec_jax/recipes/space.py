"""Where a hyper-parameter may be looked for: what `experiments/tune.py` draws trials from."""

from typing import Any, NamedTuple


class Between(NamedTuple):
    """A number from low to high, both included; whole if both are whole numbers (ints); on a log scale by default."""

    low: float
    high: float
    log: bool = True


class OneOf(NamedTuple):
    """One of some values of the same type."""

    values: tuple


Space = dict[str, Between | OneOf]  # hyper-parameter -> where to look


def is_whole(where: Between | OneOf) -> bool:
    """Whether it holds whole numbers between two of them."""
    return isinstance(where, Between) and isinstance(where.low, int) and isinstance(where.high, int)


def is_real(where: Between | OneOf) -> bool:
    """Whether it holds all numbers between two."""
    return isinstance(where, Between) and not is_whole(where)


def contains(where: Between | OneOf, value: Any) -> bool:
    """Whether a value may come from there."""
    return value in where.values if isinstance(where, OneOf) else where.low <= value <= where.high


def grid(**choices: tuple) -> list[dict[str, Any]]:
    """Every combination of the choices, as keyword arguments; the last choice varies fastest."""
    settings: list[dict[str, Any]] = [{}]
    for name, values in choices.items():
        settings = [setting | {name: value} for setting in settings for value in values]
    return settings
