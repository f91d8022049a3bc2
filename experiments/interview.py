"""Which items should a new user be asked about? Four ways to choose, error after 0..10 questions.

    scripts/run.sh experiments/interview.py --dataset=ml-1m
    scripts/run.sh experiments/interview.py --dataset=ml-1m --ask=any
    scripts/run.sh experiments/interview.py --part=valid      # the users that all choices were made on

A test user is asked about one item after another; an answer exists if it is among the user's ratings and not among the
ten that are predicted, whose items nobody is asked about. With --ask=known items are asked about that the user has
rated, so that every question is answered: the pool-based protocol of active learning for collaborative filtering (Jin
and Si 2004, "A Bayesian approach toward active learning for collaborative filtering", UAI), and what a list does from
which the user picks what is known. What the choice is worth does not mix with what people know; its limit is that no
system knows beforehand what somebody can answer. With --ask=any every item may be asked about, and a question that
cannot be answered counts, as on a sign-up page that asks one thing after another (Rashid et al. 2002, "Getting to know
you", IUI; Golbandi et al. 2011, "Adaptive bootstrapping of recommender systems using decision trees", WSDM). The limits
of both: somebody who has not rated an item may still know it, and ratings that were asked for may differ from those
that were given unasked.

Items are chosen at random; the popular ones first; by MeLU's score; and by what an answer tells of all other ratings
(`metarec_jax/serve/interview.py`), which uses a Gaussian process fitted to the training users and no learner. The
same answers go to every learner. All choices were made on validation users (`docs/research_log_interview.md`).

Result, RMSE on MovieLens-1M after five questions about known items, with --seeds=3: ridge 0.9359, with MeLU's questions
0.9538, with popular items 0.9541, with random ones 0.9396; paired over users the variance's are better by 0.0179
[0.0110, 0.0251], 0.0183 [0.0114, 0.0256] and, not significantly, 0.0037 [-0.0021, 0.0096]. ALPaCA 0.9391, 0.9542,
0.9546, 0.9439: better by 0.0151 [0.0083, 0.0222], 0.0155 [0.0088, 0.0225] and 0.0049 [-0.0010, 0.0106]. With one seed
(589 users) ridge's first two are significant too, ALPaCA's just not: 0.0112 [-0.0006, 0.0223] and 0.0107 [-0.0007,
0.0214]. So where every question is answered the popular items are a poor interview, and random ones are hard to beat.
With --ask=any the variance's questions get 2.1 of 5 answered and popular ones 2.3; ridge after five 0.9653, with MeLU's
and popular ones 0.9685 and 0.9686, not significant (0.0033 [-0.0002, 0.0067]), after ten 0.9543 instead of 0.9616 and
0.9613, better by 0.0072 [0.0032, 0.0114] and 0.0069 [0.0027, 0.0111]; ALPaCA likewise.
"""

from experiments import measure
from experiments.flags import BENCHMARK
from experiments.main import Options, protocol
from metarec_jax import benchmarks
from metarec_jax.benchmarks.interview import InterviewResult

FLAGS = [name for name in BENCHMARK if name not in ("baselines", "tuned")]


def benchmark(options: Options) -> benchmarks.Benchmark:
    """Users who are asked as the flags say."""
    return benchmarks.interview(options.questions, ask=options.ask, part=options.part, **protocol(options))


main = measure.script(
    "interview",
    __doc__,
    benchmark,
    flags=[*FLAGS, "ask", "questions", "part"],
    shown=InterviewResult,
)

if __name__ == "__main__":
    main()
