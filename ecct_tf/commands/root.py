"""`ecct` itself: the group of all commands. They import what they need when they run."""

import logging

import click

from ecct_tf.commands.audit import audit
from ecct_tf.commands.baselines import baselines
from ecct_tf.commands.check import check
from ecct_tf.commands.cloud import cloud
from ecct_tf.commands.compare import compare
from ecct_tf.commands.data import data
from ecct_tf.commands.doctor import doctor
from ecct_tf.commands.evaluate import evaluate
from ecct_tf.commands.export import export
from ecct_tf.commands.groups import Group
from ecct_tf.commands.inspect import inspect
from ecct_tf.commands.logs import LogHandler
from ecct_tf.commands.new import new
from ecct_tf.commands.recommend import recommend
from ecct_tf.commands.report import report
from ecct_tf.commands.simulate import resume, simulate
from ecct_tf.commands.study import study
from ecct_tf.commands.verify import verify
from ecct_tf.commands.worker import worker
from ecct_tf.quiet import quiet_tensorflow
from ecct_tf.version import __version__

__all__ = ["cli"]


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ecct")
@click.option("-v", "--verbose", count=True, help="Log more; twice for debugging.")
def cli(verbose: int) -> None:
    """ECCT-TF: recommenders that learn on phones and in the cloud at once."""
    level = [logging.WARNING, logging.INFO, logging.DEBUG][min(verbose, 2)]
    logging.basicConfig(
        level=logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
        handlers=[LogHandler()],
    )
    for name in ("ecct_tf", "cloud", "mobile_export"):
        logging.getLogger(name).setLevel(level)
    quiet_tensorflow()


for _command in (
    simulate, resume, baselines, study, compare, report, recommend, new, data, doctor,
    export, verify, inspect, evaluate, audit, check, cloud, worker,
):  # fmt: skip
    cli.add_command(_command)
