"""The errors that ECCT-TF raises on purpose.

Every message says what was expected, what came, where, and how to mend it.
All of them derive from `EcctError`, so that a caller can catch the library's
own refusals without hiding a defect.
"""

__all__ = [
    "CodecError",
    "ConfigError",
    "DataError",
    "EcctError",
    "PrivacyError",
    "WorkerError",
]


class EcctError(Exception):
    """Base of all errors that the library raises on purpose."""


class ConfigError(EcctError, ValueError):
    """A configuration value is unknown, of the wrong type or out of range."""


class DataError(EcctError, ValueError):
    """Data is missing, damaged or not of the declared form."""


class PrivacyError(EcctError):
    """A column was about to appear on a side where its tag forbids it."""


class CodecError(EcctError, ValueError):
    """A payload does not fit its declared specification."""


class WorkerError(EcctError, RuntimeError):
    """The TensorFlow Federated worker process could not be started or died."""
