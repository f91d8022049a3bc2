"""A page to try a learner on yourself: rate a few titles, and what it recommends, how sure it is and why, changes.

    scripts/demo.sh
    scripts/demo.sh --dataset=ml-1m --learner=alpaca --port=9000 --workdir=runs/mine

The learner is trained first, as in `user_cold_start.py`; training goes on from the checkpoint in the work directory, so
that the second time nothing is left but reading the data, the fit that it starts from, and compiling. The page is
served to this machine alone, and fetches nothing from elsewhere.
"""

import contextlib
import sys

from absl import app, flags

from experiments.common import one_learner
from experiments.common.command_line import one_line_errors, only_flags, parse
from experiments.common.one_learner import LEARNER
from experiments.common.questions import USER_COLD_START
from metarec_jax.serve.recommender import Recommender

try:
    from metarec_jax.serve.demo.server import bind, make_app
except ModuleNotFoundError as error:
    sys.exit(f"error: {error.name} is missing; start scripts/demo.sh, which installs it.")

EXPERIMENT = "demo"
PORT = flags.DEFINE_integer("port", 8000, "Port of 127.0.0.1; 0 is any that is free.", lower_bound=0, upper_bound=65535)
flags.declare_key_flag("shots")
flags.adopt_module_key_flags(one_learner)


def main(argv: list[str]) -> None:
    """Train, serve, until somebody presses Ctrl+C."""
    with one_line_errors():
        only_flags(argv)
        if LEARNER.value == "deep_kernel":
            raise ValueError("--learner=deep_kernel cannot give reasons: its examples have no weights.")
        with bind(PORT.value) as server:  # before anything long starts
            use = one_learner.train(sys.modules[__name__], USER_COLD_START)
            server.set_app(make_app(Recommender(use.learner, use.params, use.ratings), use.ratings, LEARNER.value))
            print(f"Ready: http://127.0.0.1:{server.server_port} (Ctrl+C ends it)", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                server.serve_forever()


if __name__ == "__main__":
    app.run(main, flags_parser=parse)
