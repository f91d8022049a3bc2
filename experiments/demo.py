"""A page to try a learner on yourself: rate a few titles, and what it recommends, how sure it is and why, changes.

    scripts/demo.sh
    scripts/demo.sh --dataset=ml-1m --learner=alpaca --port=9000 --workdir=runs/mine

The learner is trained first, as in `user_cold_start.py`; training goes on from the checkpoint in the work directory, so
that the second time nothing is left but reading the data, the fit that it starts from, and compiling. The page is
served to this machine alone, and fetches nothing from elsewhere.
"""

import contextlib

from experiments import learner
from experiments.main import Experiment, Options, protocol
from metarec_jax.benchmarks import user_cold_start
from metarec_jax.serve.recommender import Recommender


def work(options: Options) -> None:
    """Train, serve, until somebody presses Ctrl+C.

    Raises:
      ValueError: a flag is wrong, or what the page needs is not installed.
    """
    try:
        from metarec_jax.serve.demo.connections import bind
        from metarec_jax.serve.demo.server import make_app
    except ModuleNotFoundError as error:
        raise ValueError(f"{error.name} is missing; start scripts/demo.sh, which installs it.") from error
    if options.learner == "deep_kernel":
        raise ValueError("--learner=deep_kernel cannot give reasons: its examples have no weights.")
    with bind(options.port) as server:  # before anything long starts
        use = learner.train(options, user_cold_start(**protocol(options)))
        use.store.close()  # a page on another port may be of the same training
        ratings, trained = use.fold.tables["all"], use.trained
        server.listen(make_app(Recommender(trained.method, trained.params, ratings), ratings, use.name))
        print(f"Ready: http://127.0.0.1:{server.server_port} (Ctrl+C ends it)", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


main = Experiment("demo", __doc__, (*learner.FLAGS, "shots", "port"), work)

if __name__ == "__main__":
    main()
