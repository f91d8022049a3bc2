"""Published accuracies beside measured ones."""

from typing import Any

from metarec_jax.report.few_shot import NOT_REACHED, REACHED

Published = dict[str, tuple[str, dict[tuple[int, int], float]]]  # name -> (source, {(ways, shots): per cent})

_FINN = ("Finn et al. 2017, table 1", {(5, 1): 98.7, (5, 5): 99.9, (20, 1): 95.8, (20, 5): 98.9})
# Name of a data set -> accuracy of the papers. Omniglot: on the 423 test characters and their turns, with training on
# its other characters; what was trained elsewhere has another name and no figures.
PUBLISHED: dict[str, Published] = {
    "omniglot": {
        "protonet": ("Snell et al. 2017, table 1", {(5, 1): 98.8, (5, 5): 99.7, (20, 1): 96.0, (20, 5): 98.9}),
        "matching": ("Vinyals et al. 2016, table 1", {(5, 1): 98.1, (5, 5): 98.9, (20, 1): 93.8, (20, 5): 98.5}),
        "relation": ("Sung et al. 2018, table 1", {(5, 1): 99.6, (5, 5): 99.8, (20, 1): 97.6, (20, 5): 99.1}),
        "maml": _FINN,
        "maml, tied head": _FINN,
        "proto_maml": _FINN,
        "fomaml": ("Nichol et al. 2018, table 2", {(5, 1): 98.3, (5, 5): 99.2, (20, 1): 89.4, (20, 5): 97.9}),
        "reptile": ("Nichol et al. 2018, table 2", {(5, 1): 97.7, (5, 5): 99.5, (20, 1): 89.4, (20, 5): 97.1}),
        "meta_sgd": ("Li et al. 2017, table 2", {(5, 1): 99.5, (5, 5): 99.9, (20, 1): 95.9, (20, 5): 99.0}),
        "r2d2": ("Bertinetto et al. 2019, table 2", {(5, 1): 98.6, (5, 5): 99.7, (20, 1): 94.7, (20, 5): 98.9}),
    }
}


def beside(rows: list[dict[str, Any]], published: Published) -> list[dict[str, Any]]:
    """What results.json says of published figures (`report.few_shot`), for the rows that have one.

    Reached: the mean is no lower. Otherwise the reason says how far it is, what the interval says, and how much
    training there was.
    """
    figures = []
    for row in rows:
        source, known = published.get(row["name"], ("", {}))
        percent = known.get((row["ways"], row["shots"]))
        if percent is None:
            continue
        ours, value = row["accuracy"], percent / 100
        reached = round(ours["mean"], 4) >= value
        why = "" if reached else _why(row, value)
        common = {"name": row["name"], "ways": row["ways"], "shots": row["shots"], "value": value, "source": source}
        figures.append(common | {"ours": ours, "verdict": REACHED if reached else NOT_REACHED, "why": why})
    return figures


def _why(row: dict[str, Any], value: float) -> str:
    mean, high = row["accuracy"]["mean"], row["accuracy"]["high"]
    where = "within our interval" if high >= value else "outside our interval"
    trained = f"{row['settings']['steps']:,} steps in {row['seconds'] / 60:.0f} minutes"
    return f"{100 * (value - mean):.2f} points below, {where}; {trained}"
