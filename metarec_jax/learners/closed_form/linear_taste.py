"""What learners of a linear taste share: the modules that say what is known of a task before its ratings are read."""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from metarec_jax.types import Array, Episode, Examples, Fast, Params


class LinearTaste(NamedTuple):
    """A rating is prior mean(x) + features(x) . w + noise, with w ~ N(expected, I) for each task.

    net: Flax module from x of [N, ...] to (features [N, D], prior mean [N]), for example `models.trust.TrustedTaste`.
    prior: Flax module from the support's (x, mask) to the expected w [D], for example `ChoicePrior`. It does not see y.
      It is `expect` of a `summary`, and summaries of two sets of examples add up. None: 0.
    item_noise: Flax module from x of [N, ...] to [N], the log of a rating's noise variance over the usual one, for
      example `models.trust.ItemNoise`. None: 0.
    """

    net: nn.Module
    prior: nn.Module | None = None
    item_noise: nn.Module | None = None

    def init(self, key: Array, episode: Episode, noise: float) -> Params:
        """Parameters: net, log_noise, and where there are such modules prior and item_noise.

        Args:
          key: of the modules.
          episode: for the shapes.
          noise: initial noise variance, in squared units of y.
        """
        support = episode.support
        params = {"net": self.net.init(key, support.x)["params"], "log_noise": jnp.log(jnp.float32(noise))}
        if self.prior is not None:
            params["prior"] = self.prior.init(key, support.x, support.mask)["params"]
        if self.item_noise is not None:
            params["item_noise"] = self.item_noise.init(key, support.x)["params"]
        return params

    def features(self, params: Params, x) -> tuple[Array, Array]:
        """(features [N, D], prior mean [N])."""
        return self.net.apply({"params": params["net"]}, x)

    def apply_prior(self, params: Params, method: str, *arguments) -> Array:
        """A method of `prior`."""
        return self.prior.apply({"params": params["prior"]}, *arguments, method=method)

    def noise_variance(self, params: Params, x) -> Array:
        """[] or [N] noise variance of ratings of x."""
        own = 0.0 if self.item_noise is None else self.item_noise.apply({"params": params["item_noise"]}, x)
        return jnp.exp(params["log_noise"] + own)

    def expecting(self, params: Params, support: Examples, dim: int) -> Fast:
        """What the choice of a support says: its "summary", where there is a prior, and the "expected" w [dim]."""
        if self.prior is None:
            return {"expected": jnp.zeros(dim)}
        summary = self.apply_prior(params, "summary", support.x, support.mask)
        return {"summary": summary, "expected": self.apply_prior(params, "expect", summary)}

    def predict(self, fast: Fast, x) -> Array:
        """[N] ratings from a task's "weights" [D]."""
        features, mean = self.features(fast, x)
        return mean + features @ fast["weights"]
