"""Conformance kits: what a part of one's own must do, checked as the library's own parts are.

`check_edge_model` is for edge models, `check_cloud` for clouds; `ecct check edge` and `ecct check
cloud` are the same as commands. Call them in the tests of the package that brings the model:

    def test_gru():
        check_edge_model("my_pkg.gru:gru4rec")

    def test_towers():
        check_cloud("my_pkg.cloud:build")
"""

from ecct_tf.testing.cloud_data import SMALL_SHOP
from ecct_tf.testing.clouds import (
    check_cloud,
    check_trainable_cloud,
    cloud_findings,
    trainable_cloud_findings,
)
from ecct_tf.testing.edge_models import SMALL_SPEC, check_edge_model, edge_model_findings
from ecct_tf.testing.findings import ConformanceError, Finding

__all__ = [
    "SMALL_SHOP",
    "SMALL_SPEC",
    "ConformanceError",
    "Finding",
    "check_cloud",
    "check_edge_model",
    "check_trainable_cloud",
    "cloud_findings",
    "edge_model_findings",
    "trainable_cloud_findings",
]
