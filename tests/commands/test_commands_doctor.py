"""`ecct doctor` ends with one sentence that says whether the installation works."""

import pytest
from click.testing import CliRunner

from ecct_tf.cli import cli
from ecct_tf.package_checks import Check


@pytest.mark.parametrize(
    ("statuses", "code", "verdict"),
    [
        (["ok", "ok"], 0, "The installation works."),
        (["ok", "warning"], 0, "The installation works, within the limits that are listed above."),
        (["warning", "error"], 1, "Something will not work: fix what is listed above"),
    ],
)
def test_the_last_line_is_the_verdict(monkeypatch, statuses, code, verdict):
    checks = [Check(f"part {n}", status, "found", "") for n, status in enumerate(statuses)]
    monkeypatch.setattr("ecct_tf.doctor.diagnose", lambda: checks)
    monkeypatch.setattr("ecct_tf.trial.try_out", lambda **_: [])
    result = CliRunner().invoke(cli, ["doctor"])
    assert result.exit_code == code
    assert result.stdout.rstrip().splitlines()[-1].startswith(verdict)
