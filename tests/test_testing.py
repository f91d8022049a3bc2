"""The conformance suite itself: good methods pass, and each fault is found and called by its name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import random_table
from toy_tasks import rating_net, rating_task

from metarec_jax import objectives
from metarec_jax.learners.gradient.maml import maml
from metarec_jax.ops.rows import map_rows
from metarec_jax.testing import ConformanceError, check_baseline, check_learner
from metarec_jax.types import Baseline, Episode, Examples, Inputs, Learner

EPISODE = jax.tree.map(np.asarray, rating_task(np.random.default_rng(0)))
TABLE = random_table(0, users=30, items=20, least=8, most=15)


def init(key, episode: Episode):
    return {"slope": 0.1 * jax.random.normal(key, episode.support.x.content.shape[1:]), "log_count": jnp.float32(0.5)}


def adapt(params, support: Examples):
    """The sum of the residuals from a linear model, and their number."""
    residual = (support.y - support.x.content @ params["slope"]) * support.mask
    return params | {"sum": jnp.sum(residual), "count": jnp.sum(support.mask)}


def predict(fast, x: Inputs):
    """The linear model plus the shrunk mean residual."""
    return x.content @ fast["slope"] + fast["sum"] / (jnp.exp(fast["log_count"]) + fast["count"])


def variance(fast, x: Inputs):
    return (1.0 + 1.0 / (jnp.exp(fast["log_count"]) + fast["count"])) * jnp.ones(len(x.content))


def update(fast, new: Examples):
    added = adapt(fast, new)
    return fast | {name: fast[name] + added[name] for name in ("sum", "count")}


def counts_twice(fast, new):
    return update(update(fast, new), new)


def forget(fast, share):
    return fast | {name: share * fast[name] for name in ("sum", "count")}


def shrunken_mean(**changed) -> Learner:
    """The learner of the functions above, with some of them changed; its loss is of the changed ones."""
    parts = {"adapt": adapt, "predict": predict, "variance": variance, "update": update, "forget": forget} | changed
    loss = parts.pop("loss", objectives.query_loss(parts["adapt"], parts["predict"], objectives.squared_error))
    return Learner(parts.pop("init", init), loss=loss, **parts)


def reads_padding(params, support):
    return adapt(params, support) | {"count": jnp.float32(len(support.mask))}


def reads_the_first_row(params, support):
    first = jnp.sum(support.y[:1] * support.mask[:1])
    fast = adapt(params, support)
    return fast | {"sum": fast["sum"] + first}


def ignores_its_support(params, support):
    return adapt(params, support._replace(mask=0 * support.mask))


def divides_by_the_count(fast, x):
    return x.content @ fast["slope"] + fast["sum"] / fast["count"]


def looks_at_other_queries(fast, x):
    return predict(fast, x) - jnp.mean(x.content)


@jax.custom_jvp
def wrong(value):
    return jnp.exp(value)


wrong.defjvp(lambda primals, tangents: (wrong(*primals), 1.01 * wrong(*primals) * tangents[0]))


def has_a_wrong_gradient(fast, x):
    return predict(fast | {"log_count": jnp.log(wrong(fast["log_count"]))}, x)


def has_no_gradient_without_ratings(fast, x):
    scale = jnp.where(fast["count"] > 0, jnp.sqrt(fast["sum"] ** 2 + 1e-3 * fast["count"]), 1.0)
    return predict(fast, x) + 0.1 * jnp.where(fast["count"] > 0, scale, 0.0)


def loses_the_axis_of_tasks(params, support):
    fast = adapt(params, support)
    return fast | {"sum": fast["sum"] if float(fast["count"]) else 0.0}


def sums_on_the_host(params, support):
    fast = adapt(params, support)
    return fast | {"sum": jax.pure_callback(lambda value: value, jax.ShapeDtypeStruct((), jnp.float32), fast["sum"])}


def expects_rows(params, support):
    fast = adapt(params, support)
    return fast | {"sum": fast["sum"] + (0.0 if len(support.mask) else 1.0)}


FAULTS = {
    "init gives": {"init": lambda key, episode: {"slope": jnp.full(3, jnp.nan), "log_count": jnp.float32(0)}},
    "init gives a pytree of finite arrays": {"init": lambda key, episode: init(key, episode) | {"name": "mine"}},
    "predictions are finite and of the query's length": {"predict": lambda fast, x: predict(fast, x)[:, None]},
    "predictions are": {"adapt": loses_the_axis_of_tasks},
    "padding of the support is inert": {"adapt": reads_padding},
    "order of the support is inert": {"adapt": reads_the_first_row},
    "an empty support gives finite predictions": {"predict": divides_by_the_count},
    "an empty support is the same padded or without rows": {"adapt": expects_rows},
    "a batch of tasks under vmap and jit is each task on its own": {"adapt": sums_on_the_host},
    "updating one by one is adapting at once": {"update": counts_twice},
    "padding in an update is inert": {"update": lambda fast, new: update(fast, new._replace(mask=new.mask * 0 + 1))},
    "forgetting nothing changes nothing": {"forget": lambda fast, share: forget(fast, 0.9 * share)},
    "adaptation changes the predictions": {"adapt": ignores_its_support, "update": None},
    "the loss is a finite scalar": {"loss": lambda params, episode, key, step=0: (episode.query.y, {})},
    "the loss is": {"loss": lambda params, episode, key: (jnp.float32(0), {})},  # takes no step
    "padding does not change the loss": {"predict": looks_at_other_queries},
    "the gradient of the loss is finite": {"predict": has_no_gradient_without_ratings},
    "the gradient of the loss is that of finite differences": {"predict": has_a_wrong_gradient},
    "the variance is positive": {"variance": lambda fast, x: 0 * variance(fast, x)},
    "the variance falls with more ratings": {"variance": lambda fast, x: 1 / variance(fast, x)},
}


def test_maml_and_a_learner_of_ones_own_pass():
    own = check_learner(shrunken_mean(), EPISODE)
    assert "updating one by one is adapting at once" in own and "the variance falls with more ratings" in own
    episode = rating_task(np.random.default_rng(0))
    steps = check_learner(maml(rating_net(), objectives.squared_error, lr=0.05), episode, stepwise=True)
    assert "updating one by one is adapting at once" not in steps and "padding in an update is inert" in steps


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_a_learner_is_called_by_its_name(name):
    with pytest.raises(ConformanceError, match="Look at") as error:
        check_learner(shrunken_mean(**FAULTS[name]), EPISODE)
    assert error.value.name.startswith(name), error.value
    assert error.value.name in str(error.value)


def test_padding_in_an_update_is_a_fault_even_where_updates_are_exact():
    """Of rows that are all real nothing can be seen, so the fault above is not found by the property before it."""
    with pytest.raises(ConformanceError, match="padding in an update is inert"):
        check_learner(shrunken_mean(**FAULTS["padding in an update is inert"]), EPISODE, stepwise=True)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("updating one by one is adapting at once", {"stepwise": True}),
        ("padding does not change the loss", {"transductive": True}),
        ("the gradient of the loss is that of finite differences", {"exact_gradient": False}),
        ("the variance falls with more ratings", {"learnt_variance": True}),
    ],
)
def test_an_option_allows_what_else_is_a_fault(name, option):
    check_learner(shrunken_mean(**FAULTS[name]), EPISODE, **option)


def test_parameters_are_those_that_are_handed_in():
    zeros = {"slope": np.zeros(3, np.float32), "log_count": np.float32(30.0)}  # so much that nothing is adapted
    with pytest.raises(ConformanceError, match="adaptation changes the predictions.*trained ones as `params`"):
        check_learner(shrunken_mean(), EPISODE, params=zeros)
    with pytest.raises(ConformanceError, match="other names or shapes"):
        check_learner(shrunken_mean(), EPISODE, params={"slope": np.zeros(3, np.float32)})


def test_what_is_not_one_task_is_refused():
    batch = jax.tree.map(lambda leaf: leaf[None], EPISODE)
    with pytest.raises(ValueError, match=r"one task: the mask of its support has shape \(1, 6\)"):
        check_learner(shrunken_mean(), batch)
    short = EPISODE._replace(query=EPISODE.query._replace(y=EPISODE.query.y[:3]))
    with pytest.raises(ValueError, match="arrays of the query are to have the same first axis"):
        check_learner(shrunken_mean(), short)
    single = EPISODE._replace(support=map_rows(lambda leaf: leaf[:1], EPISODE.support))
    with pytest.raises(ValueError, match="support is to have two real rows"):
        check_learner(shrunken_mean(), single)


def fit(train, count: float = 2.0):
    means = [train.rating[train.item == item].mean() for item in range(train.num_items)]
    return {"mean": jnp.asarray(means, jnp.float32), "count": jnp.float32(count)}


def adapt_bias(params, support: Examples):
    residual = (support.y - params["mean"][support.x.id]) * support.mask
    return params | {"bias": jnp.sum(residual) / (params["count"] + jnp.sum(support.mask))}


def predict_bias(fast, x: Inputs):
    return fast["mean"][x.id] + fast["bias"]


OWN = Baseline(fit, adapt_bias, predict_bias)
BASELINE_FAULTS = {
    "fit gives arrays, the same ones every time": {
        "fit": lambda train: fit(train, count=np.random.default_rng().uniform(1, 2))
    },
    "fit gives arrays": {"fit": lambda train: fit(train) | {"count": 2.0}},
    "output is rating, score or class": {"output": "stars"},
    "padding of the support is inert": {
        "adapt": lambda params, support: adapt_bias(params, support._replace(mask=support.mask * 0 + 1))
    },
    "an empty support gives finite predictions": {"fit": lambda train: fit(train, count=0.0)},
}


def test_a_baseline_of_ones_own_passes():
    held = check_baseline(OWN, TABLE, EPISODE, count=5.0)
    assert "fit gives arrays, the same ones every time" in held
    assert not any("update" in name or "loss" in name for name in held)


@pytest.mark.parametrize("name", BASELINE_FAULTS)
def test_a_fault_of_a_baseline_is_called_by_its_name(name):
    with pytest.raises(ConformanceError, match="Look at") as error:
        check_baseline(OWN._replace(**BASELINE_FAULTS[name]), TABLE, EPISODE)
    assert error.value.name.startswith(name), error.value
