"""Multimodal ridge: the task's own side features give a prior mean of its weights, which its ratings then correct.

A new item has no ratings, but it has a title, makers and a picture. Mapping attributes to the item's vector in a factor
model is due to Gantner et al. 2010 ("Learning attribute-to-feature mappings for cold-start recommendations", ICDM).
Here the map gives the prior mean of a ridge head (`ridge.py`). At K = 0 the prediction comes from it alone, and every
rating reduces its weight. It is trained through the head, on what remains to be predicted after K ratings. It starts as
the linear map of a fitted Gaussian process (`start`), and so from the best linear answer.

Groups of features are hidden at random in training (modality dropout, as in Neverova et al. 2015, "ModDrop",
arXiv:1501.00102; for cold start Volkovs et al. 2017, "DropoutNet"), so that no single group is indispensable. A hidden
group is replaced by zeros, like a missing one.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.learners.closed_form.ridge import from_gaussian_process, ridge
from metarec_jax.models.content import Span, hide_groups
from metarec_jax.objectives import Objective
from metarec_jax.types import Array, Episode, Inputs, Learner, Metrics, Params

# Factors of the outer learning rate, by part of the parameters.
RATES = {"net": 0.1, "log_noise": 0.1, "prior": 1.0}


class ContentTaste(nn.Module):
    """Inputs -> (features [N, D], prior mean [N]): a `TasteNet`, and an encoder of the context for the prior weights.

    The prior mean is that of the `TasteNet` without the context, plus features . encoder(context).
    """

    taste: nn.Module
    encoder: nn.Module

    @nn.compact
    def __call__(self, x: Inputs) -> tuple[Array, Array]:
        features, mean = self.taste(x._replace(context=x.context[:0]))
        return features, mean + features @ self.encoder(x.context[None])[0]


def multimodal_ridge(
    net: nn.Module,
    objective: Objective,
    *,
    spans: Sequence[Span],
    hide: float = 0.1,
    noise: float = 1.0,
    prior: nn.Module | None = None,
) -> Learner:
    """Multimodal ridge. Outputs are ratings [N].

    Args:
      net: Flax module from x of [N, ...] to (features [N, D], prior mean [N]), for example `ContentTaste`.
      objective: masked loss on the query, for example `objectives.squared_error`.
      spans: the groups of the context (`models.content.group_spans`).
      hide: probability that a group is hidden from support and query, drawn for each group and training episode.
      noise: initial noise variance of the ridge head, in squared units of y; learnt.
      prior: as in `ridge`, for example `models.choice.ChoicePrior`.
    """
    head = ridge(net, objective, noise=noise, prior=prior)

    def loss(params: Params, episode: Episode, key: Array, step: Array | int = 0) -> tuple[Array, Metrics]:
        shown = jax.random.bernoulli(key, 1.0 - hide, (len(spans),)).astype(jnp.float32)
        hidden = [
            part._replace(x=part.x._replace(context=hide_groups(part.x.context, spans, shown))) for part in episode
        ]
        return head.loss(params, Episode(*hidden), key, step)

    return head._replace(loss=loss)


def start(params: Params, fitted: Params, mean: float, content: Array, spans: Sequence[Span]) -> Params:
    """The learner's parameters, set so that its predictions are those of a fitted Gaussian process.

    Args:
      params: from `multimodal_ridge(ContentTaste(TasteNet(...), ContentEncoder(spans, ...)), ...).init`.
      fitted: what `priors.gp.fit` returned.
      mean: the `TasteNet`'s.
      content: [I, F] the candidates' side features.
      spans: the groups of the context.
    """
    net = params["net"]
    own = from_gaussian_process(params | {"net": net["taste"]}, fitted, mean, content)
    linear = {f"linear_{name}": {"kernel": fitted["population"][first:end]} for name, first, end in spans}
    encoder = {"encoder": net["encoder"] | linear} if spans else {}  # of no group it has no parameters
    return own | {"net": {"taste": own["net"], **encoder}}
