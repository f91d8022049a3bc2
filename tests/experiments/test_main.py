"""The door of all experiments: what a person sees beside the results."""

import logging

from absl import flags
from absl import logging as absl_logging

from experiments.main import Experiment


def test_the_start_is_quiet_but_for_what_a_person_can_use(caplog):
    def work(options):
        logging.getLogger("jax._src.xla_bridge").info("Unable to initialize backend 'tpu': no libtpu.so")
        logging.getLogger("jax._src.xla_bridge").warning("a warning")
        absl_logging.info("ridge, seed 0: 3.2 s")

    Experiment("nothing", "Nothing.", (), work)(["nothing.py"])
    assert [record.message for record in caplog.records] == ["a warning", "ridge, seed 0: 3.2 s"]
    assert flags.FLAGS.is_parsed()  # else absl says that it logs before flag parsing
