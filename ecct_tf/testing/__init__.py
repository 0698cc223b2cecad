"""Conformance kits: what a part of one's own must do, checked as the library's own parts are.

`check_edge_model` is for edge models, and `ecct check edge` the same as a command. Call it in the
tests of the package that brings the model:

    def test_gru():
        check_edge_model("my_pkg.gru:gru4rec")
"""

from ecct_tf.testing.edge_models import (
    SMALL_SPEC,
    ConformanceError,
    Finding,
    check_edge_model,
    edge_model_findings,
)

__all__ = [
    "SMALL_SPEC",
    "ConformanceError",
    "Finding",
    "check_edge_model",
    "edge_model_findings",
]
