"""Ridge regression of a user's ratings on the item features, on top of the biases.

It is the Gaussian process of `gp.py` without the item covariance: a user's weights are a bias and one weight for each
item feature, and their prior mean is linear in the user's features.
"""

from metarec_jax.baselines import gp
from metarec_jax.data.table import Ratings
from metarec_jax.priors import gp as gp_module
from metarec_jax.types import Baseline, Params


def fit(
    train: Ratings, *, content: float = 0.1, bias: float = 0.2, noise: float = 0.9, reg_population: float = 60.0
) -> Params:
    """The parameters of `priors.gp.fit` with rank 0 and without EM; the arguments are the same."""
    return gp_module.fit(
        train, rank=0, em_steps=0, content=content, bias=bias, noise=noise, reg_population=reg_population
    )


CONTENT_RIDGE = Baseline(fit, gp.adapt, gp.predict)
