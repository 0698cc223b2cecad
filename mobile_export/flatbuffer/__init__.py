"""The file itself: reading, rewriting and packing `.tflite` FlatBuffers, and their origin."""
