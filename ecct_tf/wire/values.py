"""How each codec writes one value, as NumPy names it."""

from ecct_tf.config import CodecName

__all__ = ["VALUE_DTYPES"]

VALUE_DTYPES: dict[CodecName, str] = {"float32": "<f4", "float16": "<f2", "int8": "i1"}
