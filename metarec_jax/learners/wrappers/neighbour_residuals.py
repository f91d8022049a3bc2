"""Neighbour residuals: any learner of ratings, on the residuals of a model of neighbours by content.

y(x) = term(x) + learner(x): the learner adapts to the support less the term, and both are trained jointly, as a global
model with neighbours in Koren 2008, "Factorization meets the neighborhood" (KDD). The term is
`models.history.HistoryTerm`: the ratings that the candidate gave to owners similar to this one.

Easily got wrong: in training, the owner of the episode is among the owners of the history, with the very ratings that
are to be predicted. Owners with the same side features are left out there.
"""

import jax.numpy as jnp

from metarec_jax.models.history import History, HistoryTerm
from metarec_jax.ops.rows import join_rows
from metarec_jax.params import FIXED
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Metrics, Params


def neighbour_residuals(learner: Learner, term: HistoryTerm, history: History) -> Learner:
    """The learner on the residuals of a history term; outputs are ratings [N].

    Args:
      learner: of ratings, with a loss that depends only on y less the prediction, as the squared error does, and
        without data under `params.FIXED`.
      term: module that predicts from the history.
      history: part of the parameters from `init` on, as data that is not learnt.
    """

    def history_term(params: Params, x, leave_out: bool = False) -> Array:
        return term.apply({"params": params["history"]}, params[FIXED], x, leave_out)

    def init(key: Array, episode: Episode) -> Params:
        own = term.init(key, history, episode.support.x, True)["params"]
        return learner.init(key, episode) | {"history": own, FIXED: history}

    def adapt(params: Params, support: Examples) -> Fast:
        residual = support._replace(y=support.y - history_term(params, support.x))
        return {"learner": learner.adapt(params, residual), "history": params["history"], FIXED: params[FIXED]}

    def predict(fast: Fast, x) -> Array:
        return history_term(fast, x) + learner.predict(fast["learner"], x)

    def loss(params: Params, episode: Episode, key: Array, step: Array | int = 0) -> tuple[Array, Metrics]:
        # Support and query in one call: they have one owner, and so the same neighbours.
        x = join_rows(episode.support.x, episode.query.x)
        terms = jnp.split(history_term(params, x, leave_out=True), [len(episode.support.y)])
        residual = Episode(*(part._replace(y=part.y - term) for part, term in zip(episode, terms, strict=True)))
        return learner.loss(params, residual, key, step)

    return Learner(init, adapt, predict, loss)
