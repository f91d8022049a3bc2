"""Meta-embeddings (MetaEmb). Pan, Li, Ao, Tang and He 2019, arXiv:1904.11547.

A generator h turns the side features u of a new item into its initial embedding, phi = h(u). Its loss has two parts. A
first batch of the item's ratings, here the support, measures phi before any rating is known. A second batch, here the
query, measures it after a gradient step on the first:
    l_a = L_support(phi)                            the cold-start loss,
    phi' = phi - lr grad l_a(phi),
    l_b = L_query(phi')                             the warm-up loss,
    loss = alpha l_a + (1 - alpha) l_b.
A new item starts from phi and takes the same step on the ratings that it has.

Easily got wrong: l_a is the loss BEFORE the step. l_b is differentiated through the step, Hessian included, because the
generator is to learn embeddings from which one step leads to a good result.

Differs from the paper: there the model is trained beforehand and only the generator is learnt; here everything may be
learnt, at rates that the outer loop sets. The generator starts at 0 on top of a linear prior, and so has no tanh to
bound it. The paper's batches have one size; here the first may be empty: then l_a is 0 and l_b the cold-start loss.
"""

from collections.abc import Sequence

import flax.linen as nn

from metarec_jax.learners.items.item_embedding import (
    Embedder,
    Keys,
    above_prior,
    embedding_learner,
    gradient_steps,
)
from metarec_jax.models.generator import Generator
from metarec_jax.objectives import Objective
from metarec_jax.types import Array, Episode, Examples, Learner, Metrics, Params


def metaemb(
    net: nn.Module,
    objective: Objective,
    *,
    lr: float,
    steps: int = 1,
    cold_weight: float = 0.1,
    prior_count: float = 0.0,
    hidden: Sequence[int] = (32,),
    dropout: float = 0.0,
) -> Learner:
    """MetaEmb; outputs are ratings [N].

    Args:
      net: Flax module from x of [N, ...] to (features [N, D], prior mean [N]), for example `TasteNet`.
      objective: masked loss of both batches, a function of errors only, for example `objectives.squared_error`.
      lr: inner learning rate.
      steps: inner gradient steps; 1 in the paper.
      cold_weight: alpha, the weight of the cold-start loss; 0.1 in the paper.
      prior_count: as in `maml`: the inner loss is the sum over the support divided by n + prior_count.
      hidden: widths of the generator's hidden layers.
      dropout: fraction of the generator's hidden units that are dropped in training.
    """

    def init(key: Array, context: Array, dim: int) -> Params:
        return {"generator": Generator(dim, hidden, dropout).init(key, context)["params"]}

    def generate(params: Params, context: Array, keys: Keys) -> Array:
        own = params["generator"]
        return Generator(len(own["out"]["bias"]), hidden, dropout).apply({"params": own}, context, rngs=keys)

    def embed(params: Params, support: Examples, context: Array, keys: Keys) -> Array:
        start = generate(params, context, keys)
        return gradient_steps(objective, support, start, lr=lr, steps=steps, prior_count=prior_count)

    learner = embedding_learner(net, objective, Embedder(init, embed))

    def loss(params: Params, episode: Episode, key: Array, step: Array | int = 0) -> tuple[Array, Metrics]:
        warm, _ = learner.loss(params, episode, key, step)
        support = above_prior(net, params, episode.support)
        start = generate(params, episode.support.x.context, {"dropout": key})
        cold, _ = objective(support.x @ start, support)
        mixed = cold_weight * cold + (1.0 - cold_weight) * warm
        return mixed, {"loss": mixed, "cold": cold, "warm": warm}

    return learner._replace(loss=loss)
