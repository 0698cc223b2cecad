"""The errors that ECCT-TF raises on purpose.

Every message says what was expected, what came, where, and how to fix it.
All of them derive from `EcctError`, so that a caller can catch the library's
own refusals without hiding a defect.
"""

from typing import ClassVar

__all__ = [
    "AuditError",
    "CheckpointError",
    "CodecError",
    "ConfigError",
    "DataError",
    "DeviceError",
    "DivergenceError",
    "EcctError",
    "ExportError",
    "KerasVersionError",
    "MissingPartError",
    "PrivacyError",
    "PromotionConflictError",
    "RegistryError",
    "ResourceError",
    "RunFolderError",
    "SignatureError",
    "StorageError",
    "TokenError",
    "TransportError",
    "UplinkRefusalError",
    "WorkerError",
]


class EcctError(Exception):
    """Base of all errors that the library raises on purpose.

    Attributes:
      exit_code: of a command that ends with it.

    Example:
      >>> from ecct_tf.config import load_config
      >>> try:
      ...     load_config(overrides=["rounds=0"])
      ... except EcctError as error:
      ...     print(error)
      --set rounds=0: run.rounds: expected at least 1, got 0
    """

    exit_code: ClassVar[int] = 2


class ConfigError(EcctError, ValueError):
    """A configuration value is unknown, of the wrong type or out of range."""


class DataError(EcctError, ValueError):
    """Data is missing, damaged or not of the declared form."""


class UplinkRefusalError(DataError):
    """More of an uplink log was refused than a job may lose."""

    exit_code = 4


class PrivacyError(EcctError):
    """A column was about to appear on a side where its tag forbids it."""


class CodecError(EcctError, ValueError):
    """A payload does not fit its declared specification."""


class ExportError(EcctError):
    """An edge model cannot be exported, or an exported file is not what it should be."""


class DeviceError(EcctError):
    """A device's state is damaged, belongs to another model file, or lacks what was asked."""


class DivergenceError(EcctError, ArithmeticError):
    """Training led to weights or losses that are not finite numbers."""


class KerasVersionError(EcctError, ImportError):
    """`tf.keras` is not the version of Keras that the cloud's models are written for."""


class MissingPartError(EcctError, ImportError):
    """A part of the distribution is not installed that what was asked for needs."""


class WorkerError(EcctError, RuntimeError):
    """A process that a run needs could not be started or died: TFF's worker, a service, devices."""


class ResourceError(EcctError, MemoryError):
    """What was asked for does not fit into the memory that there is."""


class RunFolderError(EcctError):
    """A folder is not a run folder, or not in a state that allows what was asked."""


class StorageError(EcctError, OSError):
    """The system refused to write or lock a file, in a place where it does not say which."""


class SignatureError(EcctError):
    """A publication is not signed by whom it should be, or a key cannot be used."""


class TokenError(EcctError):
    """A token of a device cannot be issued, found or ended."""


class TransportError(EcctError):
    """A device could not fetch or send: refused by the service, damaged, or not reached in time."""


class CheckpointError(EcctError):
    """A checkpoint is damaged, or belongs to another run, other data or another version."""


class AuditError(EcctError):
    """A run gives an audit of what its cloud received nothing to work with."""


class RegistryError(EcctError):
    """A registry, or a version in it, is not in a state that allows what was asked."""


class PromotionConflictError(RegistryError):
    """Another job changed the promoted version first; nothing of either is lost."""
