"""Published accuracies beside measured ones."""

from typing import Any

from metarec_jax.report.few_shot import NOT_REACHED, REACHED

Published = dict[str, tuple[str, dict[tuple[int, int], float]]]  # name -> (source, {(ways, shots): per cent})


def beside(rows: list[dict[str, Any]], published: Published) -> list[dict[str, Any]]:
    """What results.json says of published figures (`report.few_shot`), for the rows that have one.

    Reached: the mean is no lower. Otherwise the reason says how far it is, what the interval says, and how much
    training there was.
    """
    found = []
    for row in rows:
        source, figures = published.get(row["name"], ("", {}))
        percent = figures.get((row["ways"], row["shots"]))
        if percent is None:
            continue
        ours, value = row["accuracy"], percent / 100
        reached = round(ours["mean"], 4) >= value
        why = "" if reached else _why(row, value)
        common = {"name": row["name"], "ways": row["ways"], "shots": row["shots"], "value": value, "source": source}
        found.append(common | {"ours": ours, "verdict": REACHED if reached else NOT_REACHED, "why": why})
    return found


def _why(row: dict[str, Any], value: float) -> str:
    mean, high = row["accuracy"]["mean"], row["accuracy"]["high"]
    where = "within our interval" if high >= value else "outside our interval"
    trained = f"{row['settings']['steps']:,} steps in {row['seconds'] / 60:.0f} minutes"
    return f"{100 * (value - mean):.2f} points below, {where}; {trained}"
