"""Global random generators, seeded for a while and then as they were.

The library itself draws from seeds that are passed. Keras layers of others draw their initial
weights from global generators, and a model must not depend on what was built before it.
"""

import contextlib
import random
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context

__all__ = ["seeded"]


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds the generators of Python, NumPy, TensorFlow and Keras, and sets them back at the end.

    Args:
      seed: not negative.
    """
    python, numpy, tensorflow = random.getstate(), np.random.get_state(), context.global_seed()
    keras = _keras_seeds()
    before = getattr(keras, "generator", None)
    tf.keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        context.set_global_seed(tensorflow)
        if before is not None:
            keras.generator = before
        elif hasattr(keras, "generator"):
            del keras.generator


def _keras_seeds() -> Any:
    """Where Keras 2 keeps the generator of its initialisers, which has no name in public."""
    module = sys.modules[tf.keras.utils.set_random_seed.__module__]
    return module.backend._SEED_GENERATOR
