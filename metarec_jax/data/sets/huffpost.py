"""HuffPost headlines: 41 kinds of news with 900 headlines each, in lower case.

Misra 2018, "News Category Dataset"; the few-shot version of Bao et al. 2020, arXiv:1908.06039, as Jiang et al. 2023
(arXiv:2306.00618, MetaPrompter) publish it: classes are numbers without names, and 20 / 5 / 16 of them are for
training, validation and test, as in that paper. Some classes are very similar ("arts" and "arts & culture"), so no
method comes near 100%.
"""

from pathlib import Path

import numpy as np

from metarec_jax.data.fetch import download
from metarec_jax.data.table import DataError
from metarec_jax.data.texts import Texts, build
from metarec_jax.ops.untrusted import json_value

PARTS = {"valid": range(5), "train": range(5, 25), "test": range(25, 41)}


def load(data_dir: Path | None = None) -> Texts:
    """All headlines; the classes are called "kind 0" to "kind 40".

    Args:
      data_dir: see `download.data_root`.

    Raises:
      DataError: the set is not there and cannot be fetched, or is not the official one.
    """
    folder = download.locate("huffpost", data_dir)
    names = [f"kind {number}" for number in range(41)]
    try:
        lines = (folder / "huffpost.json").read_bytes().splitlines()
        rows = [json_value(line) for line in lines if line]
        labelled = [(row["raw"], names[row["label"]]) for row in rows]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(f"{folder}: not the official file ({error!r}); delete it to fetch it again.") from error
    return build("huffpost", labelled, names, {part: np.array(members) for part, members in PARTS.items()}, folder)
