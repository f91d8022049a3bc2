"""Non-linear bias adaptation (NLBA). Vartak et al. 2017, "A Meta-Learning Perspective on Cold-Start Recommendations for
Items", section 4.2.

A network of one hidden layer. Its weights are shared by all tasks. Its BIASES, of the hidden units and of the output,
are linear in the task's two class means R0 (disliked) and R1 (liked):
    score(x) = v0 . R0 + v1 . R1 + w . relu(W F(x) + V0 R0 + V1 R1).

Easily got wrong: adapting the weights as well (that is LWA), and a softmax before a loss that takes logits. The
differences from the paper are those of `lwa.py`.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.learners.metric.lwa import prototype_params, prototypes
from metarec_jax.objectives import Objective, query_loss
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Params


def nlba(net: nn.Module, objective: Objective, *, hidden: int = 64, prior_count: float = 5.0) -> Learner:
    """Non-linear bias adaptation for ratings; outputs are ratings [N], prior mean + bias of the user + score.

    Args:
      net: Flax module from x of [N, ...] to (features [N, D], prior mean [N]), for example `TasteNet`.
      objective: masked loss on the query, for example `objectives.squared_error`.
      hidden: number of hidden units H.
      prior_count: initial pseudo-counts of the user's bias and of both class means; learnt.
    """

    def init(key: Array, episode: Episode) -> Params:
        net_key, *keys = jax.random.split(key, 4)
        (features, _), variables = net.init_with_output(net_key, episode.support.x)
        dim = features.shape[-1]
        matrix = nn.initializers.lecun_normal()
        return {
            "net": variables["params"],
            "hidden": matrix(keys[0], (dim, hidden)),  # W
            "hidden_of_disliked": matrix(keys[1], (dim, hidden)),  # V0
            "hidden_of_liked": matrix(keys[2], (dim, hidden)),  # V1
            "output": jnp.zeros(hidden),  # w; at first the score is 0, and the rating is mean + bias
            "output_of_disliked": jnp.zeros(dim),  # v0
            "output_of_liked": jnp.zeros(dim),  # v1
            **prototype_params(prior_count),
        }

    def adapt(params: Params, support: Examples) -> Fast:
        features, mean = net.apply({"params": params["net"]}, support.x)
        bias, disliked, liked = prototypes(params, features, support.y - mean, support.mask)
        return {
            **{name: params[name] for name in ("net", "hidden", "output")},
            "hidden_bias": disliked @ params["hidden_of_disliked"] + liked @ params["hidden_of_liked"],
            "output_bias": bias + disliked @ params["output_of_disliked"] + liked @ params["output_of_liked"],
        }

    def predict(fast: Fast, x) -> Array:
        features, mean = net.apply({"params": fast["net"]}, x)
        return mean + fast["output_bias"] + nn.relu(features @ fast["hidden"] + fast["hidden_bias"]) @ fast["output"]

    return Learner(init, adapt, predict, query_loss(adapt, predict, objective))
