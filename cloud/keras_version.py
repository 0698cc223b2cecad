"""Keras 2, which TensorFlow Recommenders needs, also where TensorFlow comes with Keras 3."""

import os
import sys

from ecct_tf.errors import KerasVersionError

__all__ = ["choose_keras_2", "require_keras_2"]

_SWITCH = "TF_USE_LEGACY_KERAS"


def choose_keras_2() -> None:
    """Sets TensorFlow's switch, unless the environment has it or TensorFlow is there already.

    TensorFlow reads it when it is imported; changed later, half of a program would be left with
    the other Keras.
    """
    if "tensorflow" not in sys.modules:
        os.environ.setdefault(_SWITCH, "1")


def require_keras_2() -> None:
    """Refuses another Keras, before something fails obscurely.

    Raises:
      KerasVersionError: when `tf.keras` is not Keras 2.
    """
    import tensorflow as tf

    try:
        # Only Keras 3 tells its version here.
        version = getattr(tf.keras, "version", lambda: None)()
        found = version and f"Keras {version}"
    except ImportError as error:
        found = f"none ({error})"
    if found:
        raise KerasVersionError(
            f"cloud: expected tf.keras to be Keras 2, which TensorFlow Recommenders needs, found "
            f"{found} in TensorFlow {tf.__version__}. Install tf-keras of the same version and "
            f"set {_SWITCH}=1 in the environment or import cloud before tensorflow"
        )
