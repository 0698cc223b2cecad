"""Edge models on phones: export, verification, and a device without TensorFlow.

`export.export_edge_model` turns an edge model of `ecct_tf.edge`, its weights and its item
table into `.tflite` files that infer **and** train with builtin operators only.
`signatures` is the contract that such a file keeps; `packing` reads what it carries;
`verification` tells whether a file is what it claims. The package rests on `ecct_tf`'s
lower layers: it needs neither TensorFlow Federated nor the simulation.

Import from the modules: this one imports nothing, so that a device can use `signatures`
without TensorFlow.
"""
