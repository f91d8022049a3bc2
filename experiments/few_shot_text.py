"""Few-shot classification of texts: new intents, or new kinds of news, from one or five sentences of each.

    scripts/run.sh experiments/few_shot_text.py --dataset=clinc150 --features=sentences
    scripts/run.sh experiments/few_shot_text.py --dataset=banking77 --features=ngrams --shots=1 --minutes=5

Results with sentence vectors, 5-way 1-shot / 5-shot, of the best learner (prototypes that the queries refine, on a
learnt map; at five shots of CLINC150 a ridge head that they join) and how much it is better than the best baseline, in
points: CLINC150 98.1 (+0.18) / 99.0 (+0.29), Banking77 97.1 (+0.39) / 98.7 (+0.38), HuffPost 59.1 (+0.50) / 74.1
(+0.31). All are significant; docs/few_shot.md has the intervals and what else was tried.

CLINC150 is split by domain, so that test intents are of another field of life than those of training. The features:
hashed n-grams of words and within words, weighted by tf-idf; the bytes themselves; or vectors of a frozen sentence
encoder, which are computed once by the extra package `metarec_jax[text]`. Baselines read the same features, save that
for bytes they read the n-grams.
"""

from functools import partial
from pathlib import Path

from experiments import meta_learning
from experiments.main import Experiment, Options, data_dir
from metarec_jax.benchmarks.few_shot import texts
from metarec_jax.data import TEXT_SETS


def work(options: Options) -> None:
    """Texts with the features that the flags ask for."""
    idle = [] if options.features == "sentences" else [("vectors_dir", "needs --features=sentences")]
    vectors = Path(options.vectors_dir) if options.vectors_dir else None
    build = partial(texts, features=options.features, vectors=vectors)
    load = partial(TEXT_SETS[options.dataset], data_dir(options))
    meta_learning.few_shot(options, f"{options.dataset}-{options.features}", build, load, idle)


FLAGS = (*meta_learning.FEW_SHOT, "dataset", "features", "vectors_dir")
DEFAULTS = meta_learning.DEFAULTS | {"dataset": "clinc150"}
main = Experiment("few_shot_text", __doc__, FLAGS, work, DEFAULTS, {"dataset": TEXT_SETS})

if __name__ == "__main__":
    main()
