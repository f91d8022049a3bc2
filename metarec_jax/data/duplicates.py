"""What becomes of a user's several ratings of one item."""

from collections.abc import Callable

import polars as pl

RULES = ("error", "first", "last", "mean", "max")
_PAIR = ["user", "item"]


class RepeatedPair(ValueError):
    """A user rates an item twice. The message says where, and how many pairs there are of the kind."""


def resolved(frame: pl.DataFrame, rule: str, place: Callable[[int], str]) -> pl.DataFrame:
    """The frame with one row for each pair of user and item, in the order of the rows.

    Args:
      frame: columns user, item, rating and perhaps timestamp.
      rule: "error" refuses; "first" and "last" keep a row by time, or by the order of the rows among equal times and
        without times; "max" keeps the first of those with the highest rating; "mean" is the last with the mean rating.
      place: row number -> where it is in the file, for the message.

    Raises:
      RepeatedPair: a pair occurs twice and `rule` is "error".
      ValueError: the rule is unknown.
    """
    if rule not in RULES:
        raise ValueError(f"duplicates: unknown rule {rule!r}; choose one of {', '.join(RULES)}.")
    if not (twice := frame.select(_PAIR).is_duplicated()).any():
        return frame
    rows = frame.with_row_index("row")
    if rule == "error":
        raise RepeatedPair(_complaint(rows.filter(twice), place))
    order = ["timestamp", "row"] if "timestamp" in frame.columns else ["row"]
    if rule == "max":
        order = [-pl.col("rating"), *order]
    if rule == "mean":
        mean = pl.col("rating").cast(pl.Float64).mean().over(_PAIR)
        rows = rows.with_columns(mean.cast(frame["rating"].dtype).alias("rating"))
    keep = "first" if rule in ("first", "max") else "last"
    return rows.sort(order).unique(_PAIR, keep=keep).sort("row").drop("row")


def _complaint(repeated: pl.DataFrame, place: Callable[[int], str]) -> str:
    user, item = repeated.select(_PAIR).row(0)
    rows = repeated.filter((pl.col("user") == user) & (pl.col("item") == item))["row"]
    pairs = repeated.select(_PAIR).n_unique()
    more = f", and {pairs - 1} more pairs occur twice" if pairs > 1 else ""
    return (
        f"user {user} rates item {item} in {place(rows[0])} and {place(rows[1])}{more}; "
        f"keep one of each, or choose with --duplicates={', '.join(RULES[1:-1])} or {RULES[-1]}"
    )
