"""Parts of the cloud's work as pipelines of Apache Beam, for what outgrows one machine.

The functions that a pipeline calls are those of the one process, and what it writes has the same
bytes. Beam is imported when a pipeline is built, not before.
"""

from cloud.pipelines.ingestion import ingest_by_beam
from cloud.pipelines.publication import make_by_beam
from cloud.pipelines.user_rows import make_rows_by_beam

__all__ = ["ingest_by_beam", "make_by_beam", "make_rows_by_beam"]
