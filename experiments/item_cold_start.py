"""A new item with a handful of raters, or none: a task is an item, its support K users' ratings of it.

    scripts/run.sh experiments/item_cold_start.py --seeds=3
    scripts/run.sh experiments/item_cold_start.py --dataset=ml-1m

A tenth of the items never occurs in training. The table is that of user cold start with the roles of users and items
exchanged, and so are the learners: the candidates are raters, and what is known of the task before the first rating is
the item's content. The same ten ratings of an item are predicted at every K.

Result, RMSE on MovieLens-100K with --seeds=3 --learners=ridge,attentive_ridge,history_ridge: history ridge has 1.0300,
0.9892 and 0.9426 at K = 0, 1 and 5, ridge 1.0349, 0.9963 and 0.9533, the best baseline (content regression, then a
Gaussian process with the same side features) 1.0432, 1.0103 and 0.9602, the user's mean 1.0932, 1.0890 and 1.0676. On
goodbooks with --content=genre+language+year,title,author history ridge has 0.8010 at K = 0, the best baseline 0.8128,
and on MovieLens-1M 1.0135 for 1.0213, 0.9315 for 0.9482 at K = 5 (docs/cold_starts.md).
"""

from experiments import measure
from experiments.main import protocol
from metarec_jax import benchmarks

main = measure.script("item_cold_start", __doc__, lambda options: benchmarks.item_cold_start(**protocol(options)))

if __name__ == "__main__":
    main()
