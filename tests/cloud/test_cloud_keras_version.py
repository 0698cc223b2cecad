"""Keras 2 is chosen where that is safe, and asked for where it is not."""

import os
import subprocess
import sys

import pytest
import tensorflow as tf

NEW = tuple(map(int, tf.__version__.split(".")[:2])) >= (2, 16)


def run(code):
    environment = {key: value for key, value in os.environ.items() if key != "TF_USE_LEGACY_KERAS"}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )


@pytest.mark.slow
@pytest.mark.current
def test_cloud_imported_first_has_keras_2():
    done = run("import cloud.model, tensorflow as tf; print(tf.keras.Model.__module__)")
    # `keras.src.models` in Keras 3.
    assert done.stdout.strip() in ("keras.src.engine.training", "tf_keras.src.engine.training")


@pytest.mark.skipif(not NEW, reason="this TensorFlow has no Keras but Keras 2")
def test_after_tensorflow_it_says_what_to_do():
    done = run(
        "import tensorflow\n"
        "from ecct_tf.errors import EcctError\n"
        "try: import cloud.model\n"
        "except EcctError as error: print(error)"
    )
    assert "expected tf.keras to be Keras 2" in done.stdout, done.stderr
    assert "TF_USE_LEGACY_KERAS=1" in done.stdout
