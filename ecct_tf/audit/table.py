"""An audit at the terminal: a table of 80 columns, and what to read in it."""

from pathlib import Path

from rich.console import Console

from ecct_tf.audit.findings import Finding
from ecct_tf.audit.measures import Estimate
from ecct_tf.audit.run import Audit
from ecct_tf.reporting.columns import Column, console_for, fitting, table_of
from ecct_tf.terminal import prose

__all__ = ["print_audit"]

_METHODS = {
    "the cloud's own score": "cloud score",
    "logistic regression": "regression",
    "likelihood ratio": "likelihood",
    "likelihood ratio, offline": "offline",
}
_MEASURES = {
    "balanced accuracy": "bal. acc.",
    "TPR at 1 % FPR": "TPR@1%",
    "items below": "below",
}


def print_audit(audit: Audit, *, files: tuple[Path, ...], console: Console | None = None) -> None:
    """Prints the figures, where uplinks add something, and what was not measured.

    Args:
      audit: what to print.
      files: where it was written.
      console: where to; by default the terminal.
    """
    findings = audit.findings
    columns = [
        Column("guess", tuple(map(_name, findings)), 0, right=False),
        Column("measure", tuple(_MEASURES.get(f.measure, f.measure) for f in findings), 1, False),
        Column("prior", tuple(_short(f.prior) for f in findings), 5),
        Column("knew", tuple(_value(f.known) for f in findings), 2),
        Column("sent", tuple(_value(f.received) for f in findings), 6),
        Column("both", tuple(_value(f.both) for f in findings), 3),
        Column("uplinks add (95 %)", tuple(_added(f) for f in findings), 4),
    ]
    console = console or console_for(columns)
    shown = fitting(columns, console.width)
    attacks = [finding.attack for finding in findings]
    ends = [row for row in range(len(attacks) - 1) if attacks[row] != attacks[row + 1]]
    console.print(
        table_of(
            shown,
            title=f"What a curious cloud learns: {audit.run}, after {audit.rounds} rounds",
            bold=[finding.leaks for finding in findings],
            ends=ends,
        )
    )
    left_out = [column.heading for column in columns if column not in shown]
    if left_out:
        prose(
            f"The window is too narrow for {', '.join(left_out)}; audit.csv has all figures.",
            console,
        )
    for note in _notes(audit, files):
        prose(note, console)


def _notes(audit: Audit, files: tuple[Path, ...]) -> list[str]:
    notes = [
        f"knew: from what the cloud knew anyway; sent: from uplinks alone; both: from both. "
        f"{audit.uplinks:,} uplinks of {audit.users:,} users, out of the {audit.source}."
    ]
    if audit.labels:
        notes.append(
            f"Known by a cloud that learned from its own labels for the {audit.rounds} rounds, and "
            "never from an uplink."
        )
    leaks = list(dict.fromkeys(f"{each.target} ({each.measure})" for each in audit.leaks))
    if leaks:
        notes.append(f"* Uplinks add to what the cloud knew anyway: {', '.join(leaks)}.")
    else:
        notes.append("Nowhere does the interval show that uplinks add to what the cloud knew.")
    notes += [audit.privacy] if audit.privacy else []
    left_out = [f"{name}: {reason}" for name, reason in audit.not_measured.items()]
    if left_out:
        notes.append(f"Not measured: {'; '.join(left_out)}.")
    if files:
        notes.append(f"Written: {', '.join(map(str, files))}")
    return notes


def _name(finding: Finding) -> str:
    if finding.attack == "private column":
        return finding.target
    return f"{finding.target.split()[0]}: {_METHODS[finding.method]}"


def _short(number: float) -> str:
    """Three digits without the zero in front.

    >>> _short(0.5), _short(-0.0123), _short(1.0)
    ('.500', '-.012', '1.000')
    >>> _short(-0.0001)
    '.000'
    """
    # Adding zero takes the sign from a negative one.
    text = f"{round(number, 3) + 0.0:.3f}"
    return text.replace("0.", ".", 1) if abs(number) < 0.9995 else text


def _value(estimate: Estimate | None) -> str:
    return "-" if estimate is None else _short(estimate.value)


def _added(finding: Finding) -> str:
    added = finding.added
    if added is None:
        return "- "
    figures = (added.value, added.low, added.high)
    texts = map(_short, figures)
    first, low, high = (text if text.startswith("-") else f"+{text}" for text in texts)
    return f"{first} ({low}, {high}){'*' if finding.leaks else ' '}"
