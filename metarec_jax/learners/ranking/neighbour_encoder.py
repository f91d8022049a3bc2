"""A set encoder whose scores are added to the votes of neighbours, trained on episodes.

An encoder of a few dimensions captures the kind of items that somebody likes. It does not capture that volume two
follows volume one; item-kNN does. Here the scores of both are added to the log of the popularity. How much each counts
at every number of known items is learnt from training tasks of the same kind (see `models.neighbours`).

With many users the encoder needs long training, and it trains better without the votes, which explain the easy part
from the first step on. So the votes may be added later.

Easily got wrong: the user of a training episode must be left out of the counts that are used for him.
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
    """The set encoder with votes; outputs are scores [N]. Labels of the support are not read: all of its items are
    liked.

    Args:
      net: the encoder. Dropout is active only in `loss`, with its key.
      votes: module that weighs the counts.
      lists: counted on the training users; part of the parameters from `init` on, as data that is not learnt.
      objective: masked loss of the scores, for example `objectives.catalogue_cross_entropy`. The query of a training
        episode has y = 1 at all items that its user likes, except those of the support.
      alone: number of training steps in which the encoder is trained without votes, by the cross-entropy.
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
