"""Relation Networks. Sung et al. 2018, arXiv:1711.06025.

The distance of a prototype classifier is learnt: a second network g, the relation module, compares the pooled support
of a class with the query, r_c(x) = g(sum over the class's support of f(x_i), f(x)) (eq. 1).
`relation` is the classifier of the paper; `relation_ratings` compares with the task's rating levels.

Easily got wrong: the pooling is a SUM (section 3.2), not a mean. The scores are sigmoids, not a softmax, and the loss
is their squared error to the one-hot label (eq. 2). A sum grows with the number of shots, which is constant in the
paper. With ratings K varies from task to task, so means that are shrunk to a learnt global one replace the sum.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.learners.metric.embedding import Head, on_embeddings
from metarec_jax.learners.metric.protonet import class_sums, level_params, level_sums, shrunk_levels
from metarec_jax.objectives import Objective, query_loss
from metarec_jax.params import FIXED
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Params


class Comparator(nn.Module):
    """Relation module: classes [C, D] and points [N, D] -> raw scores [N, C], by a ReLU network on each pair.

    The last layer has no bias: a softmax over the classes does not depend on it.
    """

    hidden: Sequence[int] = (32,)

    @nn.compact
    def __call__(self, classes: Array, points: Array) -> Array:
        shape = (len(points), *classes.shape)
        pair = [jnp.broadcast_to(classes, shape), jnp.broadcast_to(points[:, None, :], shape)]
        hidden = jnp.concatenate(pair, -1)
        for layer, width in enumerate(self.hidden):
            hidden = nn.relu(nn.Dense(width, name=f"layer_{layer}")(hidden))
        return nn.Dense(1, use_bias=False, name="score")(hidden)[..., 0]


def relation(net: nn.Module, comparator: nn.Module, objective: Objective, *, ways: int, turns: bool = False) -> Learner:
    """The classifier of the paper. Outputs are relation scores [N, ways] in 0..1; y are classes 0..ways-1.

    Args:
      net: Flax module from x of [N, ...] to embeddings [N, D].
      comparator: Flax module from (pooled classes [C, D], embeddings [N, D]) to raw scores [N, C].
      objective: `objectives.one_hot_squared_error` in the paper.
      ways: number of classes C. A class without support gets score 0, so an episode may have fewer.
      turns: in training the examples of a class take turns as its support (see `embedding.on_embeddings`).
    """

    def init(key: Array, embedded: Array) -> Params:
        return {"comparator": comparator.init(key, embedded, embedded)["params"]}

    def adapt(params: Params, embedded: Array, support: Examples) -> Fast:
        sums, counts = class_sums(embedded, support.y, support.mask, ways)
        return {"sums": sums, "empty": counts == 0}

    def predict(fast: Fast, embedded: Array) -> Array:
        scores = jax.nn.sigmoid(comparator.apply({"params": fast["comparator"]}, fast["sums"], embedded))
        return jnp.where(fast["empty"], 0.0, scores)

    return on_embeddings(net, Head(init, adapt, predict), objective, ways if turns else None)


def relation_ratings(
    net: nn.Module,
    comparator: nn.Module,
    objective: Objective,
    *,
    levels: Sequence[float],
    prior_count: float = 3.0,
) -> Learner:
    """Relation scores to the rating levels of the task; outputs are ratings [N].

    Each level has a prototype and a fraction, shrunk to learnt global ones as in `protonet_ratings`. The relation score
    is added to the log of the level's fraction. A softmax over the levels (a rating has exactly one) gives an expected
    level. The output is m(x) + expected level under the task's prototypes and fractions - expected level under the
    global ones: the prior mean of the item, changed by what the ratings change. At K = 0 it is the prior mean.

    Args:
      net: Flax module from x of [N, ...] to (embeddings [N, D], prior mean [N]), for example `TasteNet`.
      comparator: Flax module from (prototypes [L, D], embeddings [N, D]) to raw scores [N, L].
      objective: masked loss on the query, for example `objectives.squared_error`.
      levels: the rating values, ascending, for example (1, 2, 3, 4, 5). A support rating counts for the nearest.
      prior_count: initial pseudo-counts of prototypes and fractions; learnt.
    """

    def init(key: Array, episode: Episode) -> Params:
        net_key, comparator_key, level_key = jax.random.split(key, 3)
        (embedded, _), variables = net.init_with_output(net_key, episode.support.x)
        return {
            "net": variables["params"],
            "comparator": comparator.init(comparator_key, embedded, embedded)["params"],
            **level_params(level_key, levels, embedded.shape[-1], prior_count),
        }

    def adapt(params: Params, support: Examples) -> Fast:
        embedded, _ = net.apply({"params": params["net"]}, support.x)
        prototypes, log_fractions = shrunk_levels(params, *level_sums(embedded, support, params[FIXED]["levels"]))
        return params | {"task_prototypes": prototypes, "task_log_fractions": log_fractions}

    def predict(fast: Fast, x) -> Array:
        embedded, mean = net.apply({"params": fast["net"]}, x)

        def expected_level(prototypes: Array, log_fractions: Array) -> Array:
            scores = comparator.apply({"params": fast["comparator"]}, prototypes, embedded)
            return jax.nn.softmax(log_fractions + scores, -1) @ fast[FIXED]["levels"]

        task = expected_level(fast["task_prototypes"], fast["task_log_fractions"])
        return mean + task - expected_level(fast["prototypes"], jax.nn.log_softmax(fast["shares"]))

    return Learner(init, adapt, predict, query_loss(adapt, predict, objective))
