"""The learner of a network that reads the support: adaptation is one forward pass, without gradients or a solver."""

from metarec_jax.models.sets import RatingReader
from metarec_jax.objectives import Objective, gaussian_nll
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Metrics, Params


def read_support(network: RatingReader, objective: Objective | None = None) -> Learner:
    """The learner of a network that reads a support set.

    Args:
      network: reads the support in `adapt` and rates candidates in `predict`. Dropout is active only in `loss`, with
        the key of `loss`.
      objective: masked loss of the predicted means [Q] of the query, for example `objectives.squared_error`. None: the
        Gaussian negative log likelihood; the learner then has a `variance`.
    """

    def init(key: Array, episode: Episode) -> Params:
        return network.init(key, episode.support, episode.query.x)["params"]

    def adapt(params: Params, support: Examples) -> Fast:
        return {"params": params, "read": network.apply({"params": params}, support, method="read")}

    def rate(fast: Fast, x) -> tuple[Array, Array]:
        return network.apply({"params": fast["params"]}, fast["read"], x, method="rate")

    def predict(fast: Fast, x) -> Array:
        return rate(fast, x)[0]

    def variance(fast: Fast, x) -> Array:
        return rate(fast, x)[1]

    def loss(params: Params, episode: Episode, key: Array, step: Array | int = 0) -> tuple[Array, Metrics]:
        del step  # the loss is the same at every training step
        outputs = network.apply({"params": params}, episode.support, episode.query.x, rngs={"dropout": key})
        if objective is None:
            return gaussian_nll(outputs, episode.query)
        return objective(outputs[0], episode.query)

    return Learner(init, adapt, predict, loss, variance if objective is None else None)
