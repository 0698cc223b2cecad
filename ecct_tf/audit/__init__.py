"""What a curious cloud learns from what it received.

`audit_run` opens a run and lets attackers guess private columns, tell which items are among a
device's newest interactions, and name these out of the catalog. Each guess is made twice: from
what the cloud knew anyway, and with what it received; the difference, with its interval over
users, is what the exchange gives away. `write_audit` puts the figures beside the run.
"""

from ecct_tf.audit.files import write_audit
from ecct_tf.audit.findings import Finding
from ecct_tf.audit.measures import Estimate
from ecct_tf.audit.run import Audit, audit_run

__all__ = ["Audit", "Estimate", "Finding", "audit_run", "write_audit"]
