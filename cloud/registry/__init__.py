"""The registry: numbered versions of the cloud on a plain file system.

    registry/
      versions/000007/    a version: written once, read by many
        manifest.json     parents, data, config, metrics, libraries, SHA-256 of each file
        saved_model/      what TF Serving loads
        ...               what the next job needs
      promotions/000003.json   who was promoted when; the highest number is in force
      model/7/            the promoted SavedModel and nothing else: TF Serving's base path
      erased/             marks of users who were erased
      drafts/             versions being made
      trash/              what is being removed
      lock                held for the length of one change

A version appears by one rename, a promotion by one exclusive link, so a kill leaves the old
state or the new one. The lock is the kernel's (`flock`): it ends with the process that holds it.
"""

from cloud.registry.collection import Collected
from cloud.registry.drafts import Draft
from cloud.registry.erased import Erased, ErasedMarks, ErasedUser
from cloud.registry.inventory import Inventory
from cloud.registry.manifest import FileHash, Manifest
from cloud.registry.promotions import Promotion
from cloud.registry.registry import Registry
from cloud.registry.version import Version

__all__ = [
    "Collected",
    "Draft",
    "Erased",
    "ErasedMarks",
    "ErasedUser",
    "FileHash",
    "Inventory",
    "Manifest",
    "Promotion",
    "Registry",
    "Version",
]
