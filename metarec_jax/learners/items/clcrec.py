"""Contrastive learning for cold items (CLCRec). Wei et al. 2021, "Contrastive Learning for Cold-Start Recommendation",
arXiv:2107.05315.

An encoder turns the side features of an item into its content embedding f; the item's raters give it a collaborative
embedding z. A new item has no z, so f should carry as much information about z as possible. Two contrastive losses
(InfoNCE; van den Oord 2018, arXiv:1807.03748) increase their mutual information,
    -log exp(cos(a, p) / temperature) / (exp(cos(a, p) / temperature) + sum_n exp(cos(a, n) / temperature)),
where the negatives n are the vectors of other users drawn at random:
- of representations: a = z and p = f, weighted by lambda;
- of user and item: a = f and p each rater who liked the item, weighted by 1 - lambda.
They are added to the error of the ratings. For the ratings, z is the posterior mean of a ridge regression on the
raters' vectors whose prior mean is f: at K = 0 the embedding is f, and the support corrects it.

Easily got wrong:
- The z that f is contrasted with must not start from f, or f would be compared with itself. It comes from the ratings
  alone, and from all ratings of the episode.
- Users who are drawn as negatives but did rate the item do not count.

Differs from the paper: there the negatives of the first contrast are other items, which an episode does not contain; z
is a parameter of the item; and items are ranked, so that every rater is a positive. Here the positives are those who
rated the item above the prior mean.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.learners.items.item_embedding import Embedder, Keys, above_prior, embedding_learner
from metarec_jax.models.generator import Generator
from metarec_jax.models.sets import small
from metarec_jax.objectives import Objective, masked_mean
from metarec_jax.ops.linear import ridge_weights
from metarec_jax.ops.rows import join_rows
from metarec_jax.ops.similarity import unit
from metarec_jax.types import Array, Episode, Examples, Learner, Metrics, Params


def info_nce(anchor: Array, positives: Array, negatives: Array, real: Array, temperature: float) -> Array:
    """[P] InfoNCE in nats of each positive against the negatives, by the cosine with the anchor.

    Args:
      anchor: [D].
      positives: [P, D].
      negatives: [M, D].
      real: [M] 1 for a negative that counts, else 0.
      temperature: of the softmax.
    """
    near, far = (unit(vectors) @ unit(anchor) / temperature for vectors in (positives, negatives))
    rest = jax.nn.logsumexp(jnp.where(real > 0, far, -1e9))
    return jnp.logaddexp(near, rest) - near


def fold_in(params: Params, rated: Examples, start: Array) -> Array:
    """The correction [D] by which ratings change the embedding `start` [D], by ridge regression.

    Args:
      params: with "log_noise".
      rated: examples as `above_prior` returns them.
      start: prior mean of the embedding.
    """
    return ridge_weights(rated.x, rated.y - rated.x @ start, rated.mask, jnp.exp(params["log_noise"]))


def strangers(net: nn.Module, params: Params, raters: Examples, ids: Array) -> tuple[Array, Array]:
    """Vectors [M, D] of the users `ids` [M], of whom only the ids are known, and [M] 1 for those who are no raters of
    the item, else 0.
    """
    content = raters.x.content
    unknown = raters.x._replace(id=ids, content=jnp.zeros((len(ids), content.shape[1]), content.dtype))
    vectors, _ = net.apply({"params": params["net"]}, unknown)
    rated = (ids[:, None] == raters.x.id) & (raters.mask > 0)
    return vectors, 1.0 - jnp.any(rated, 1)


def clcrec(
    net: nn.Module,
    objective: Objective,
    *,
    num_ids: int,
    noise: float = 1.0,
    contrast: float = 0.1,
    balance: float = 0.5,
    negatives: int = 32,
    temperature: float = 0.5,
    hidden: Sequence[int] = (32,),
    dropout: float = 0.0,
) -> Learner:
    """CLCRec; outputs are ratings [N].

    Args:
      net: Flax module from x of [N, ...] to (features [N, D], prior mean [N]), for example `TasteNet`.
      objective: masked loss of the query, a function of errors only, for example `objectives.squared_error`.
      num_ids: number of users that the network knows; negatives are drawn from them.
      noise: initial noise variance of the ridge regression, in squared units of y; learnt.
      contrast: weight of the contrastive losses beside the error of the ratings.
      balance: lambda, the fraction of the representations' contrast.
      negatives: number M of users drawn for each episode.
      temperature: of both contrasts.
      hidden: widths of the encoder's hidden layers.
      dropout: fraction of the encoder's hidden units that are dropped in training.
    """

    def init(key: Array, context: Array, dim: int) -> Params:
        encoder = Generator(dim, hidden, dropout, small).init(key, context)["params"]
        return {"encoder": encoder, "log_noise": jnp.log(jnp.float32(noise))}

    def encode(params: Params, context: Array, keys: Keys) -> Array:
        own = params["encoder"]
        return Generator(len(own["out"]["bias"]), hidden, dropout).apply({"params": own}, context, rngs=keys)

    def embed(params: Params, support: Examples, context: Array, keys: Keys) -> Array:
        start = encode(params, context, keys)
        return start + fold_in(params, support, start)

    learner = embedding_learner(net, objective, Embedder(init, embed))

    def loss(params: Params, episode: Episode, key: Array, step: Array | int = 0) -> tuple[Array, Metrics]:
        error, _ = learner.loss(params, episode, key, step)
        raters = join_rows(*episode)
        rated = above_prior(net, params, raters)
        content = encode(params, raters.x.context, {"dropout": key})
        ids = jax.random.randint(jax.random.fold_in(key, 1), (negatives,), 0, num_ids)
        vectors, real = strangers(net, params, raters, ids)
        collaborative = fold_in(params, rated, jnp.zeros_like(content))
        item_contrast = info_nce(collaborative, content[None], vectors, real, temperature)[0]
        user_contrast = masked_mean(info_nce(content, rated.x, vectors, real, temperature), rated.mask * (rated.y > 0))
        contrasts = balance * item_contrast + (1.0 - balance) * user_contrast
        total = error + contrast * contrasts
        return total, {"loss": total, "error": error, "contrast": contrasts}

    return learner._replace(loss=loss)
