"""A set encoder with the votes of neighbours beside it, trained on episodes.

An encoder of a few numbers says what kind of things somebody likes; that volume two follows volume one does not fit
into them, and is what item-kNN knows. Here the scores of both are added to the log of the popularity, and how much each
is worth for every number of known items is learnt from tasks like those that will be met (see `models.neighbours`).

Where there are many users the encoder has to be trained for long, and does it better without the votes, which explain
the easy part from the first step on: they can be let in late.

Easily got wrong: the user of a training episode must be left out of the counts that he is asked about.
"""

import jax
import jax.numpy as jnp

from metarec_jax.models.neighbours import NeighbourLists, Votes, leave_out, pairs
from metarec_jax.models.set_encoder import SetEncoder
from metarec_jax.objectives import Objective, catalogue_cross_entropy
from metarec_jax.params import FIXED
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Metrics, Params


def neighbour_encoder(
    net: SetEncoder, votes: Votes, lists: NeighbourLists, objective: Objective, *, alone: int = 0
) -> Learner:
    """The learner; labels of the support are not read: what is in it is liked.

    Args:
      net: the encoder. Dropout is on in `loss`, with its key, and nowhere else.
      votes: what the counts are worth.
      lists: counted on the training users; part of the parameters from `init` on, as data that is not learnt.
      objective: masked loss of the scores, for example `objectives.catalogue_cross_entropy`. The query of an episode in
        training has y = 1 at all that its user likes, but the support.
      alone: in so many steps of training the encoder learns by itself, by the cross-entropy.
    """

    def init(key: Array, episode: Episode) -> Params:
        net_key, votes_key = jax.random.split(key)
        x, mask = episode.support.x, episode.support.mask
        learnt = {
            "net": net.init(net_key, x, mask, episode.query.x)["params"],
            "votes": votes.init(votes_key, pairs(lists, x.id), mask)["params"],
        }
        return learnt | {FIXED: lists}

    def adapt(params: Params, support: Examples) -> Fast:
        neighbours = pairs(params[FIXED], support.x.id)
        return {
            "net": params["net"],
            "taste": net.apply({"params": params["net"]}, support.x, support.mask, method="read"),
            "others": votes.apply({"params": params["votes"]}, neighbours, support.mask) + jnp.log1p(neighbours.likes),
        }

    def predict(fast: Fast, x) -> Array:
        return net.apply({"params": fast["net"]}, fast["taste"], x, method="score") + fast["others"][x.id]

    def loss(params: Params, episode: Episode, key: Array, step: Array | int = 0) -> tuple[Array, Metrics]:
        known, query = episode.support, episode.query
        encoded = net.apply({"params": params["net"]}, known.x, known.mask, query.x, rngs={"dropout": key})

        def by_itself() -> tuple[Array, Metrics]:
            return catalogue_cross_entropy(encoded + jnp.log1p(params[FIXED].likes)[query.x.id], query)

        def with_votes() -> tuple[Array, Metrics]:
            neighbours = leave_out(params[FIXED], known, query)
            others = votes.apply({"params": params["votes"]}, neighbours, known.mask) + jnp.log1p(neighbours.likes)
            return objective(encoded + others[query.x.id], query)

        return jax.lax.cond(step < alone, by_itself, with_votes) if alone else with_votes()

    return Learner(init, adapt, predict, loss, output="score")
