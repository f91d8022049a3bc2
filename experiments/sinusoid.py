"""Sinusoid regression, the benchmark of the MAML paper (section 5.1), for seven learners and beside published figures.

    scripts/run.sh experiments/sinusoid.py
    scripts/run.sh experiments/sinusoid.py --methods=maml,cavia --shots=10 --steps=5000

Result, mean squared error at K = 10 on 600 test tasks, seed 0, in six minutes on two cores. After one gradient step:
CAVIA 0.217, Meta-SGD 0.239, MAML 0.408, FOMAML 0.465, Reptile 0.698, ANIL 1.05, iMAML 1.86. After five: CAVIA 0.035,
ANIL 0.114, MAML 0.144 (the paper's curve: about 0.2), FOMAML 0.188, Reptile 0.240, iMAML 0.95; Meta-SGD, whose rates
are learnt for one step, diverges on 8 tasks. The page says what each was trained for and has K = 5.
"""

from experiments import meta_learning
from experiments.main import Experiment, Options, chosen, whole_numbers
from metarec_jax.benchmarks.sinusoid import RECIPES, SinusoidResult, sinusoid


def work(options: Options) -> None:
    """Waves with as many known points as the flags say."""
    names = chosen("methods", options.methods, RECIPES)
    if not names:
        raise ValueError("--methods=none leaves nothing to run.")
    benchmark = sinusoid(whole_numbers("shots", options.shots, 1), options.tasks)
    label = "all" if names == list(RECIPES) else "-".join(names)
    meta_learning.measure(options, label, benchmark, names, lambda: None, SinusoidResult)


FLAGS = ("methods", "shots", "steps", "tasks", "seed", "workdir")
main = Experiment("sinusoid", __doc__, FLAGS, work, {"shots": ["5", "10"]})

if __name__ == "__main__":
    main()
