"""Omniglot for the benchmark: training classes from here or there, and Lake's official one-shot runs beside them."""

from pathlib import Path
from typing import Literal

import numpy as np

from metarec_jax.benchmarks.few_shot.base import FewShotData, episode_at
from metarec_jax.data.classes import Classes, join
from metarec_jax.data.fetch.download import data_root
from metarec_jax.data.sets import glyphs, omniglot
from metarec_jax.tasks.lake_runs import ARCHIVE, lake_runs
from metarec_jax.types import Episode

TrainOn = Literal["omniglot", "all_but_test", "glyphs"]


def omniglot_data(train_on: TrainOn = "omniglot", data_dir: Path | None = None) -> FewShotData:
    """Omniglot, with the official runs where their archive is in its folder.

    Args:
      train_on: where training classes are from. "all_but_test": Omniglot's training and validation classes; "glyphs":
        characters of fonts.
      data_dir: see `download.data_root`.
    """
    classes = omniglot.load(data_dir)
    if train_on == "all_but_test":
        known = np.sort(np.concatenate([classes.parts["train"], classes.parts["valid"]]))
        classes = classes._replace(parts=classes.parts | {"train": known})
    if train_on == "glyphs":
        classes = join(glyphs.load(), classes, {"train": ("train", "test"), "valid": ("valid",)})
    archive = data_root(data_dir) / "omniglot" / ARCHIVE
    return FewShotData(classes, official=unseen_runs(classes, lake_runs(archive)) if archive.is_file() else None)


def unseen_runs(classes: Classes, runs: Episode) -> Episode | None:
    """The runs none of whose drawings is one of a training class; None: there is none.

    The usual split (Vinyals et al. 2016) trains on characters that eight of the twenty runs are made of.
    """
    member = np.isin(np.repeat(np.arange(len(classes.sizes)), classes.sizes), classes.parts["train"])
    trained = {drawing.tobytes() for drawing in classes.x[member]}
    drawings = np.concatenate([np.asarray(part.x) for part in runs], 1)[..., 0].astype(np.uint8)
    unseen = [number for number, run in enumerate(drawings) if trained.isdisjoint(each.tobytes() for each in run)]
    return episode_at(runs, np.array(unseen)) if unseen else None
