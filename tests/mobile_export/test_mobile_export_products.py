"""Matrix products as a file has them."""

import numpy as np
import pytest
import tensorflow as tf

from mobile_export.flatbuffer.products import choose_products
from mobile_export.flatbuffer.schema import operators, read_model, write_model
from mobile_export.making.conversion import convert


@pytest.mark.parametrize("also_read", [False, True])
def test_rows_that_were_joined_for_one_column_are_multiplied_apart(also_read):
    rng = np.random.default_rng(0)
    given = {
        name: rng.standard_normal(shape, np.float32)
        for name, shape in {"a": (5, 3), "b": (5, 4), "k": (3,), "l": (4,)}.items()
    }

    def multiply(a, b, k, l):  # noqa: E741  # As in the formula.
        rows = tf.concat([a, b], axis=-1)
        product = tf.matmul(rows, tf.expand_dims(tf.concat([k, l], axis=0), -1))
        return {"product": product, **({"rows": rows} if also_read else {})}

    specs = {name: tf.TensorSpec(array.shape, name=name) for name, array in given.items()}
    specs |= {"a": tf.TensorSpec([None, 3], name="a"), "b": tf.TensorSpec([None, 4], name="b")}
    module = tf.Module()
    function = tf.function(multiply, autograph=False)
    module.functions = {"infer": function.get_concrete_function(**specs)}
    model = read_model(convert(module, precision="float32"))
    choose_products(model)
    kinds = [name for _, _, name in operators(model)]
    assert kinds.count("FULLY_CONNECTED") == (1 if also_read else 2)
    loaded = tf.lite.Interpreter(model_content=write_model(model))
    found = loaded.get_signature_runner("infer")(**given)["product"][:, 0]
    expected = given["a"] @ given["k"] + given["b"] @ given["l"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
