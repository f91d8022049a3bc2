"""CLINC150: requests to an assistant, 150 intents of 10 domains with 150 sentences each.

Larson et al. 2019, "An Evaluation Dataset for Intent Classification and Out-of-Scope Prediction", arXiv:1909.02027. The
out-of-scope sentences are left out. Classes are split by DOMAIN: the classes of a test episode are from domains that do
not occur in training.
"""

from pathlib import Path

import numpy as np

from metarec_jax.data.classes import hashed_parts
from metarec_jax.data.fetch import download
from metarec_jax.data.table import DataError
from metarec_jax.data.texts import Texts, build
from metarec_jax.ops.untrusted import json_value

DOMAINS = {"train": 5, "valid": 2, "test": 3}


def load(data_dir: Path | None = None) -> Texts:
    """All in-scope sentences of the official train, validation and test files together.

    Args:
      data_dir: see `download.data_root`.

    Raises:
      DataError: the set is not there and cannot be fetched, or is not the official one.
    """
    folder = download.locate("clinc150", data_dir)
    try:
        sentences = json_value((folder / "data_full.json").read_bytes())
        domains = json_value((folder / "domains.json").read_bytes())
        labelled = [(text, intent) for half in ("train", "val", "test") for text, intent in sentences[half]]
        names = [intent for intents in domains.values() for intent in intents]
        owner = np.repeat(np.arange(len(domains)), [len(intents) for intents in domains.values()])
        chosen = hashed_parts(list(domains), DOMAINS)
        parts = {part: np.flatnonzero(np.isin(owner, members)) for part, members in chosen.items()}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{folder}: not the official files ({error!r}); delete it to fetch them again.") from error
    return build("clinc150", labelled, names, parts, folder)
