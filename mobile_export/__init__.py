"""Edge models on phones: export, verification, and a device without TensorFlow.

- `contract`: what a file's signatures take and give; no TensorFlow.
- `flatbuffer`: the file as bytes: reading, rewriting, packing.
- `making`: `making.export.export_edge_model` turns an edge model of `ecct_tf.edge`, its weights and
  its item table into `.tflite` files that infer **and** train with builtin operators only.
- `runtime`: interpreters that run a file.
- `device`: a device in Python, over LiteRT alone.
- `checking`: `checking.verification` tells whether a file is what it claims.

The package rests on `ecct_tf`'s lower layers: it needs neither TensorFlow Federated nor the
simulation. Import from its packages: this one imports nothing, so that a device can use the
contract without TensorFlow.
"""
