"""What must hold before TensorFlow is imported: few messages, and Keras 2."""

import logging
import os

from ecct_tf.user_folders import keep_keras_out_of_here

__all__ = ["quiet_tensorflow"]


def quiet_tensorflow() -> None:
    """Silences TensorFlow's own messages, unless the environment or `ecct -v` asks for them.

    And chooses Keras 2, which the cloud needs. It must come before TensorFlow is imported, which
    reads both settings then and never again.
    """
    verbose = logging.getLogger("ecct_tf").isEnabledFor(logging.INFO)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0" if verbose else "3")
    # gRPC would prepare each fork and say so, where all that is started here is another program.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    keep_keras_out_of_here()
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    logging.getLogger("tensorflow").setLevel(logging.INFO if verbose else logging.ERROR)
