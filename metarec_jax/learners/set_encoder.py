"""A set encoder, trained on episodes: from what somebody liked to a ranking of everything else, in one forward pass.

Autoencoders of whole histories (Liang et al. 2018, "Variational autoencoders for collaborative filtering",
arXiv:1802.05814) are trained to give back long histories and then asked about short ones. Trained on episodes the
encoder meets sets of exactly the sizes that it will be asked about, and is told to find what is NOT in the set; the
sum over the set is that of Zaheer et al. 2017 ("Deep Sets", arXiv:1703.06114, eq. 2). Episodes with an empty support
make it learn the ranking for those of whom nothing is known.

Easily got wrong: a mean over the support hides how much is known, a plain sum grows tenfold from K = 1 to K = 10.
"""

from metarec_jax.models.set_encoder import SetEncoder
from metarec_jax.objectives import Objective
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Metrics, Params


def set_encoder(net: SetEncoder, objective: Objective) -> Learner:
    """The learner; labels of the support are not read: what is in it is liked.

    Args:
      net: reads in `adapt`, scores in `predict`. Dropout is on in `loss`, with its key, and nowhere else.
      objective: masked loss of the scores, for example `objectives.catalogue_cross_entropy`.
    """

    def init(key: Array, episode: Episode) -> Params:
        return net.init(key, episode.support.x, episode.support.mask, episode.query.x)["params"]

    def adapt(params: Params, support: Examples) -> Fast:
        return {"params": params, "taste": net.apply({"params": params}, support.x, support.mask, method="read")}

    def predict(fast: Fast, x) -> Array:
        return net.apply({"params": fast["params"]}, fast["taste"], x, method="score")

    def loss(params: Params, episode: Episode, key: Array, step: Array | int = 0) -> tuple[Array, Metrics]:
        del step  # nothing changes in the course of training
        known, query = episode.support, episode.query
        return objective(net.apply({"params": params}, known.x, known.mask, query.x, rngs={"dropout": key}), query)

    return Learner(init, adapt, predict, loss)
