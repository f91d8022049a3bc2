"""The learners by flag name: how each is built for a ratings table, and with which hyper-parameters it is trained.

One file a family. `--set=NAME.KEY=VALUE` changes a hyper-parameter: a keyword of the learner's builder or a field of
`Training`.
"""

from functools import partial

from metarec_jax.recipes import amortised, closed_form, content, gradient, items, metric
from metarec_jax.recipes.base import Recipe

RECIPES: dict[str, Recipe] = metric.RECIPES | gradient.RECIPES | closed_form.RECIPES | amortised.RECIPES
# For tables whose tasks are items, the side features of which say more than those of users.
RIDGES = {
    name: RECIPES[name]._replace(build=partial(RECIPES[name].build, reg_population=items.REG_POPULATION))
    for name in ("ridge", "attentive_ridge")
}
ITEM_RECIPES: dict[str, Recipe] = RECIPES | RIDGES | content.RECIPES | items.RECIPES
