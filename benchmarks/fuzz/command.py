"""The command line in this process: `ecct_tf.cli.main` itself, with what it prints kept."""

import dataclasses
import os
import sys
import tempfile
import traceback
from collections.abc import Callable

from benchmarks.fuzz.verdict import Fault, refusal

__all__ = ["Ran", "Step", "run"]

# Announces a command and the seconds that it may take.
Step = Callable[[str, float], None]


@dataclasses.dataclass(frozen=True)
class Ran:
    """A command that ended.

    Attributes:
      command: its arguments.
      code: its exit code.
      out: what it printed, blanks joined.
      error: what it printed to standard error.
    """

    command: str
    code: int
    out: str
    error: str

    def reason(self) -> str:
        """The words of a refusal."""
        return refusal(self.code, self.error)


def run(*arguments: str) -> Ran:
    """Runs `ecct` with `arguments`.

    File descriptors 1 and 2 are redirected, so that what libraries print counts too.

    Raises:
      Fault: an error came through the command line's own handling of errors.
    """
    from ecct_tf.cli import main

    crash, code = "", 0
    before = sys.argv
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
        kept = _redirected(out.fileno(), error.fileno())
        try:
            sys.argv = ["ecct", *arguments]
            main()
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else int(left.code is not None)
        except BaseException:  # whatever it is, it is what this looks for
            crash = traceback.format_exc()
        finally:
            sys.argv = before
            _restored(kept)
        said = [_text(out), _text(error)]
    command = " ".join(["ecct", *arguments])
    if crash:
        raise Fault(f"{command}\n{crash}")
    ran = Ran(command, code, " ".join(said[0].split()), said[1])
    if "Traceback (most recent call last)" in said[0] + said[1]:
        raise Fault(f"{command}\nexit code {code} and a traceback:\n{said[1][-4000:]}")
    return ran


def _redirected(*targets: int) -> list[int]:
    _flush()
    kept = [os.dup(place) for place in (1, 2)]
    for place, target in zip((1, 2), targets, strict=True):
        os.dup2(target, place)
    return kept


def _restored(kept: list[int]) -> None:
    _flush()
    for place, source in zip((1, 2), kept, strict=True):
        os.dup2(source, place)
        os.close(source)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


def _text(file: object) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")
