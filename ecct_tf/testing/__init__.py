"""Conformance kits: what a custom part must do, checked as the library's own parts are.

`check_edge_model` is for edge models, `check_loss` for their losses, `check_cloud` for clouds,
`check_method` for methods and `check_codec` for codecs; `ecct check edge`, `loss`, `cloud`,
`method` and `codec` are the same as commands. Call them in the tests of the package that brings
the part:

    def test_gru():
        check_edge_model("my_pkg.gru:gru4rec")

    def test_towers():
        check_cloud("my_pkg.cloud:build")
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ecct_tf.testing.cloud_data import SMALL_SHOP
    from ecct_tf.testing.clouds import (
        check_cloud,
        check_trainable_cloud,
        cloud_findings,
        trainable_cloud_findings,
    )
    from ecct_tf.testing.codecs import check_codec, codec_findings
    from ecct_tf.testing.edge_models import SMALL_SPEC, check_edge_model, edge_model_findings
    from ecct_tf.testing.findings import ConformanceError, Finding
    from ecct_tf.testing.losses import check_loss, loss_findings
    from ecct_tf.testing.methods import check_method, method_findings

# A kit needs what the part that it checks needs: clouds TFRS, edge models TensorFlow alone.
_HOME_OF = {
    "ConformanceError": "findings",
    "Finding": "findings",
    "SMALL_SHOP": "cloud_data",
    "SMALL_SPEC": "edge_models",
    "check_cloud": "clouds",
    "check_codec": "codecs",
    "check_edge_model": "edge_models",
    "check_loss": "losses",
    "check_method": "methods",
    "check_trainable_cloud": "clouds",
    "cloud_findings": "clouds",
    "codec_findings": "codecs",
    "edge_model_findings": "edge_models",
    "loss_findings": "losses",
    "method_findings": "methods",
    "trainable_cloud_findings": "clouds",
}

__all__ = [
    "SMALL_SHOP",
    "SMALL_SPEC",
    "ConformanceError",
    "Finding",
    "check_cloud",
    "check_codec",
    "check_edge_model",
    "check_loss",
    "check_method",
    "check_trainable_cloud",
    "cloud_findings",
    "codec_findings",
    "edge_model_findings",
    "loss_findings",
    "method_findings",
    "trainable_cloud_findings",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
