"""ECCT-TF: edge-cloud collaborative training of recommenders with TensorFlow Federated.

Devices train a small private model on their own interactions and profile; the
cloud trains a large model on what it may see. Only embeddings and logits cross
between them, through declared structures, and each side learns from the other.
This module imports nothing heavy: take what you need from the sub-packages.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
