"""A set encoder, trained on episodes: from liked items to a ranking of all others, in one forward pass.

Autoencoders of whole histories (Liang et al. 2018, "Variational autoencoders for collaborative filtering",
arXiv:1802.05814) are trained to reconstruct long histories and then applied to short ones. Trained on episodes, the
encoder sees sets of exactly the sizes of its later use, and learns to find what is NOT in the set. The sum over the set
is that of Zaheer et al. 2017 ("Deep Sets", arXiv:1703.06114, eq. 2). If nothing is known of a user, the best ranking is
by popularity. It is given as data, to which the encoder adds its scores.

Easily got wrong: a mean over the support hides how much is known; a plain sum grows tenfold from K = 1 to K = 10.
"""

import jax.numpy as jnp

from metarec_jax.models.set_encoder import SetEncoder
from metarec_jax.objectives import Objective
from metarec_jax.params import FIXED
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Metrics, Params


def set_encoder(net: SetEncoder, prior: Array, objective: Objective) -> Learner:
    """The set encoder; outputs are scores [N]. Labels of the support are not read: all of its items are liked.

    Args:
      net: reads in `adapt`, scores in `predict`. Dropout is active only in `loss`, with its key.
      prior: [I] scores of the items if nothing is known of the user, for example the log of the popularity; part of the
        parameters from `init` on, as data that is not learnt.
      objective: masked loss of the scores, for example `objectives.catalogue_cross_entropy`.
    """

    def init(key: Array, episode: Episode) -> Params:
        learnt = net.init(key, episode.support.x, episode.support.mask, episode.query.x)["params"]
        return {"net": learnt, FIXED: jnp.asarray(prior)}

    def adapt(params: Params, support: Examples) -> Fast:
        return params | {"taste": net.apply({"params": params["net"]}, support.x, support.mask, method="read")}

    def predict(fast: Fast, x) -> Array:
        return net.apply({"params": fast["net"]}, fast["taste"], x, method="score") + fast[FIXED][x.id]

    def loss(params: Params, episode: Episode, key: Array, step: Array | int = 0) -> tuple[Array, Metrics]:
        del step  # the loss is the same at every training step
        known, query = episode.support, episode.query
        added = net.apply({"params": params["net"]}, known.x, known.mask, query.x, rngs={"dropout": key})
        return objective(added + params[FIXED][query.x.id], query)

    return Learner(init, adapt, predict, loss, output="score")
