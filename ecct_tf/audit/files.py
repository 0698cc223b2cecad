"""`audit.json` and `audit.csv` in a run folder: aggregated figures, whole or not at all."""

import csv
import io
import json
from pathlib import Path

from ecct_tf.audit.run import Audit
from ecct_tf.files import write_text

__all__ = ["write_audit"]


def write_audit(audit: Audit, folder: Path) -> tuple[Path, Path]:
    """Writes an audit beside its run; an earlier one is replaced.

    Returns:
      `audit.json` and `audit.csv`.
    """
    files = folder / "audit.json", folder / "audit.csv"
    write_text(files[0], json.dumps(audit.as_dict(), indent=2) + "\n")
    text = io.StringIO()
    rows = [finding.as_row() for finding in audit.findings]
    if rows:
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    write_text(files[1], text.getvalue())
    return files
