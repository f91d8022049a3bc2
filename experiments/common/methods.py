"""Which methods there are, which of them a flag asks for, and the hyper-parameters of those that are trained."""

from collections.abc import Collection
from typing import Any, NamedTuple

from absl import flags

from metarec_jax.baselines import Entry
from metarec_jax.recipes.base import Recipe, hyperparameters


class Methods(NamedTuple):
    """The methods that a question is put to."""

    baselines: dict[str, Entry]
    recipes: dict[str, Recipe]  # of what is trained

    @property
    def learners(self) -> list[str]:
        """Names of the learners."""
        return [name for name, recipe in self.recipes.items() if recipe.kind == "learner"]

    @property
    def controls(self) -> list[str]:
        """Names of the baselines that are trained as learners are."""
        return [name for name, recipe in self.recipes.items() if recipe.kind == "baseline"]

    @property
    def classics(self) -> list[str]:
        """Names of all that learners are compared with."""
        return [*self.baselines, *self.controls]


STEPS = flags.DEFINE_integer("steps", None, "Meta-training steps of every learner.", lower_bound=1)


def chosen(flag: flags.FlagHolder, names: list[str], default: Collection[str] = ()) -> list[str]:
    """The names that a list flag asks for, in the order of `names`; where it is not set, the `default`.

    Raises:
      ValueError: a name that is not among them.
    """
    asked = list(default) if flag.value is None else flag.value
    if asked in (["all"], ["none"]):
        return names if asked == ["all"] else []
    for name in asked:
        if name not in names:
            raise ValueError(f"--{flag.name}: unknown {name!r}; choose all, none, or some of {', '.join(names)}.")
    return [name for name in names if name in asked]


def parse_set(
    texts: Collection[str], recipes: dict[str, Recipe], trained: list[str], tuned: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Changes of hyper-parameters by method; checked here, before anything long starts.

    A tuned setting gives way to --steps, and that to NAME.KEY=VALUE in `texts`.

    Raises:
      ValueError: not NAME.KEY=VALUE, a method that is not `trained`, an unknown key or a wrong value.
    """
    changes = {name: dict(tuned.get(name, {})) for name in trained}
    if STEPS.value is not None:
        changes = {name: settings | {"steps": STEPS.value} for name, settings in changes.items()}
    for text in texts:
        target, equals, value = text.partition("=")
        name, dot, key = target.partition(".")
        if not (equals and dot):
            raise ValueError(f"--set={text}: write NAME.KEY=VALUE, for example maml.inner_lr=0.1.")
        if name not in changes:
            known = ", ".join(trained) or "none"
            raise ValueError(f"--set={text}: {name!r} is not run; the trained methods are {known}.")
        changes[name][key] = value
    for name in trained:
        try:
            hyperparameters(recipes[name], changes[name], name)
        except ValueError as error:
            raise ValueError(f"--set: {error}") from error
    return changes
