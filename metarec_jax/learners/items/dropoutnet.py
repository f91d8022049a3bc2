"""DropoutNet. Volkovs, Yu and Poutanen 2017, "DropoutNet: Addressing Cold Start in Recommender Systems", NeurIPS.

The latent vector of an item is a network of two inputs side by side, its preference vector and its content,
    V = f(preference, content),    rating = prior mean + rater's vector . V.
In training the preference input is set to 0 at random, as if nobody had rated the item yet. Such items teach the
network to use the content alone; the others teach it to correct this by the preference.

The preference vector comes from the item's raters: here it is the ridge solution of the support's ratings on the
raters' vectors, which is how the paper's factorisation would fold a new item in (the paper uses the mean of the raters'
vectors as a shortcut). The network is added to it: untrained, the latent vector IS the preference vector.

Easily got wrong: the whole preference vector is dropped, not single entries of it. It is not rescaled by 1 / (1 - rate)
as in ordinary dropout, because a preference vector that is present is present as a whole.

Differs from the paper: there the target is the score of the factorisation that the inputs came from; here it is the
rating itself. Users are warm here, so only the item's side has a network. The network also reads the number of raters.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.learners.items.item_embedding import Embedder, Keys, embedding_learner
from metarec_jax.models.generator import Generator
from metarec_jax.objectives import Objective
from metarec_jax.ops.linear import ridge_weights
from metarec_jax.types import Array, Examples, Learner, Params


def dropoutnet(
    net: nn.Module,
    objective: Objective,
    *,
    noise: float = 1.0,
    drop: float = 0.3,
    hidden: Sequence[int] = (32,),
    dropout: float = 0.0,
) -> Learner:
    """DropoutNet; outputs are ratings [N].

    Args:
      net: Flax module from x of [N, ...] to (features [N, D], prior mean [N]), for example `TasteNet`.
      objective: masked loss of the query, a function of errors only, for example `objectives.squared_error`.
      noise: initial noise variance of the ridge solution, in squared units of y; learnt.
      drop: probability that the preference vector is dropped in training.
      hidden: widths of the network's hidden layers.
      dropout: fraction of its hidden units that are dropped in training; independent of `drop`.
    """

    def init(key: Array, context: Array, dim: int) -> Params:
        latent = Generator(dim, hidden, dropout).init(key, jnp.zeros(dim + 1), context)["params"]
        return {"latent": latent, "log_noise": jnp.log(jnp.float32(noise))}

    def embed(params: Params, support: Examples, context: Array, keys: Keys) -> Array:
        preference = ridge_weights(support.x, support.y, support.mask, jnp.exp(params["log_noise"]))
        known = jnp.append(preference, jnp.log1p(jnp.sum(support.mask)))
        if "dropout" in keys:
            known *= jax.random.bernoulli(jax.random.fold_in(keys["dropout"], 1), 1.0 - drop)
        network = Generator(len(known) - 1, hidden, dropout)
        return known[:-1] + network.apply({"params": params["latent"]}, known, context, rngs=keys)

    return embedding_learner(net, objective, Embedder(init, embed))
