"""The command line. Commands import what they need when they run: help stays instant."""

import errno
import logging
import os
import sys

import click

from ecct_tf import __version__, plain_text, stopping
from ecct_tf.commands.baselines import baselines
from ecct_tf.commands.cloud import cloud
from ecct_tf.commands.compare import compare
from ecct_tf.commands.data import data
from ecct_tf.commands.doctor import doctor
from ecct_tf.commands.evaluate import evaluate
from ecct_tf.commands.export import export
from ecct_tf.commands.inspect import inspect
from ecct_tf.commands.new import new
from ecct_tf.commands.report import report
from ecct_tf.commands.simulate import resume, simulate
from ecct_tf.commands.verify import verify
from ecct_tf.errors import EcctError

__all__ = ["cli", "main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ecct")
@click.option("-v", "--verbose", count=True, help="Log more; twice for debugging.")
def cli(verbose: int) -> None:
    """ECCT-TF: recommenders that learn on phones and in the cloud at once."""
    level = [logging.WARNING, logging.INFO, logging.DEBUG][min(verbose, 2)]
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    for name in ("ecct_tf", "cloud", "mobile_export"):
        logging.getLogger(name).setLevel(level)


for _command in (
    simulate, resume, baselines, compare, report, new, data, doctor,
    export, verify, inspect, evaluate, cloud,
):  # fmt: skip
    cli.add_command(_command)


def main() -> None:
    """Entry point of the `ecct` command."""
    stopping.install()
    plain_text.tolerate()
    try:
        # Not raised but returned: the code of a command that told on its own what failed.
        code = cli(standalone_mode=False)
    except ModuleNotFoundError as error:
        message = _missing_package(error)
        if message is None:
            raise
        click.echo(f"Error: {message}", err=True)
        sys.exit(2)
    except EcctError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo(stopping.last_words(), err=True)
        sys.exit(stopping.exit_code())
    except BrokenPipeError:
        # The reader has gone (`| head`); Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.filename is None and error.errno != errno.ENOSPC:
            raise
        logging.getLogger("ecct_tf").debug("the system's error", exc_info=True)
        click.echo(f"Error: {_told(error)}", err=True)
        sys.exit(2)
    if code:
        sys.exit(code)


def _missing_package(error: ModuleNotFoundError) -> str | None:
    """Names the package and the command that adds it; None for a module that is no package's."""
    from ecct_tf.installation import install_packages
    from ecct_tf.parts import distribution_of, is_installed, requirement_text

    name = distribution_of(error.name or "")
    if name is None or is_installed(name):
        return None
    return f"{name} is not installed. To add it:\n  {install_packages([requirement_text(name)])}"


def _told(error: OSError) -> str:
    """A file or folder that the system does not give."""
    where = error.filename if error.filename is not None else "the command's output"
    return (
        f"{where}: expected to read or write here, the system says: {error.strerror}. Fix the "
        "path, its permissions or the room on the disk, and give the command again."
    )


if __name__ == "__main__":
    main()
