"""What each kind of content is worth for an item with few raters or none: all kinds, each alone, all but one, none.

    scripts/run.sh experiments/content_ablation.py --content=genre+year,title,poster --seeds=5
    scripts/run.sh experiments/content_ablation.py --dataset=ml-1m --content=genre+year,title,director+actor+rated

Everything is multimodal ridge on item cold start (`item_cold_start.py`); "all_content", which sees all that --content
names, is what the others are compared with, so that a positive difference is what the kinds that they lack are worth.
"""

import sys
from collections.abc import Collection
from functools import partial

from absl import app, flags

from experiments.common import cold_start, dataflags
from experiments.common.command_line import one_line_errors, parse
from experiments.common.methods import Methods
from experiments.common.questions import ITEM_COLD_START, ColdStart
from metarec_jax.recipes import ITEM_RECIPES
from metarec_jax.recipes.base import Recipe
from metarec_jax.recipes.content import build_multimodal_ridge

EXPERIMENT = "content_ablation"
flags.adopt_module_key_flags(cold_start)


def recipe(groups: Collection[str], kind: str = "learner") -> Recipe:
    """Multimodal ridge that sees these groups of features."""
    return ITEM_RECIPES["multimodal_ridge"]._replace(build=partial(build_multimodal_ridge, groups), kind=kind)


def variants(modalities: dict[str, list[str]]) -> dict[str, Recipe]:
    """A recipe for every subset of the kinds of content that is asked about.

    Args:
      modalities: kind -> its groups of features.

    Raises:
      ValueError: fewer than two kinds.
    """
    if len(modalities) < 2:
        raise ValueError("--content: name two kinds of item features or more, for example genre+year,title.")

    def of(kinds: Collection[str]) -> list[str]:
        return [group for kind in kinds for group in modalities[kind]]

    found = {"all_content": recipe(of(modalities), "baseline"), "no_content": recipe(())}
    found |= {f"only_{kind}": recipe(of([kind])) for kind in modalities}
    if len(modalities) > 2:  # else all but one is the other alone
        found |= {f"without_{kind}": recipe(of([k for k in modalities if k != kind])) for kind in modalities}
    return found


def question(modalities: dict[str, list[str]]) -> ColdStart:
    """Item cold start, asked of the variants."""
    recipes = variants(modalities)
    learners = [name for name, found in recipes.items() if found.kind == "learner"]
    protocol = ITEM_COLD_START.protocol._replace(shots=[0, 1, 5])
    return ITEM_COLD_START._replace(name=EXPERIMENT, methods=Methods({}, recipes), learners=learners, protocol=protocol)


def main(argv: list[str]) -> None:
    """Run, or show what an earlier run in this work directory found."""
    with one_line_errors():
        asked = question(dataflags.modalities())
    cold_start.main(asked, sys.modules[__name__], argv)


if __name__ == "__main__":
    app.run(main, flags_parser=parse)
