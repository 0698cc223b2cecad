"""Whether a file is what it claims to be: a list of checks, each with what was found."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecct_tf.errors import ExportError
from mobile_export.checking.behaviour import (
    check_guards,
    check_outputs,
    check_resume,
    check_served,
    check_training,
)
from mobile_export.checking.hostile import damaged_files
from mobile_export.checking.reference import Reference
from mobile_export.contract.held import held_room
from mobile_export.contract.samples import group_size_of
from mobile_export.contract.signatures import FILE_SCHEMA, Signature, contract_of
from mobile_export.contract.soundness import check_numbers
from mobile_export.contract.task import check_told
from mobile_export.flatbuffer.packing import (
    METADATA,
    associated_files,
    check_digest,
    digest,
    expected_digest,
    proves_itself,
    read_metadata,
    vocabulary_rows,
)
from mobile_export.flatbuffer.schema import read_model, signature_names
from mobile_export.making.conversion import check_operators
from mobile_export.making.examples import DeviceExample
from mobile_export.making.variants import find_variant
from mobile_export.runtime.interpreter import Interpreter

__all__ = ["Check", "check_hash", "verify_file"]


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
      name: what.
      where: the runtime, or `file`.
      passed: None when it could not be checked, which is no failure but is told.
      found: in a few words.
    """

    name: str
    where: str
    passed: bool | None
    found: str


def verify_file(
    path: Path,
    interpreters: Sequence[Interpreter],
    *,
    examples: Sequence[DeviceExample],
    reference: Reference | None = None,
    damaged: int = 100,
    hostile: int = 100,
) -> list[Check]:
    """Checks a packed file; one with another hash than its manifest says is not looked into.

    Args:
      path: the file; the manifest lies beside it.
      interpreters: open ones, in which its behaviour is checked.
      examples: data of devices, real ones where there are any.
      reference: what the file came from; without one parity is not checked.
      damaged: how many damaged copies must be refused.
      hostile: how many hostile calls it must survive in each interpreter.
    """
    checks = [check_hash(path)]
    if not checks[0].passed:
        return checks
    content = path.read_bytes()
    structure = _checked("structure", "file", lambda: _structure(content))
    checks.append(structure)
    if not structure.passed:
        return checks
    metadata = read_metadata(content)
    contract = contract_of(metadata)
    checks += [
        _checked("operators", "file", lambda: _operators(content)),
        _checked("associated files", "file", lambda: _associated(path, metadata)),
        *(
            []
            if reference is None
            else [_checked("settings", "file", lambda: check_told(reference.task, metadata))]
        ),
        _checked("damaged copies", "file", lambda: _damaged(path.name, content, damaged)),
    ]
    if held_room(metadata) is not None:
        told = "not checked: the file takes rows of items; runtime.real_devices of a run checks it"
        return [*checks, *(Check("behaviour", each.name, None, told) for each in interpreters)]
    for interpreter in interpreters:
        checks += _behaviour(
            path, interpreter, metadata, contract, examples, reference, hostile=hostile
        )
    return checks


def check_hash(path: Path) -> Check:
    """Whether the file is the one that its manifest vouches for; otherwise nothing may load it."""
    return _checked("hash", "file", lambda: _hash(path))


def _behaviour(
    path: Path,
    interpreter: Interpreter,
    metadata: dict[str, Any],
    contract: dict[str, Signature],
    examples: Sequence[DeviceExample],
    reference: Reference | None,
    *,
    hostile: int,
) -> Iterator[Check]:
    where = interpreter.name
    loaded = _checked("signatures", where, lambda: _signatures(interpreter, path, contract))
    yield loaded
    if not loaded.passed:
        return
    untold = "not checked: no source model; give --run"
    if reference is None:
        yield Check("output parity", where, None, untold)
        yield Check("training parity", where, None, untold)
    else:
        yield _checked(
            "output parity",
            where,
            lambda: check_outputs(interpreter, metadata, contract, reference),
        )
        variant = find_variant(metadata["variant"]["name"])
        simulated = (
            reference.simulate(variant) if variant.trainable and reference.simulate else None
        )
        if simulated is not None:
            yield _checked(
                "training parity",
                where,
                lambda: check_training(interpreter, path, contract, simulated),
            )
        if simulated is not None and simulated.held:
            yield _checked(
                "served weights",
                where,
                lambda: check_served(interpreter, path, metadata, contract, reference, simulated),
            )
    example, together = examples[0], group_size_of(metadata)
    if "train" in contract:
        yield _checked(
            "save and restore",
            where,
            lambda: check_resume(interpreter, path, contract, example, group_size=together),
        )
    yield _checked(
        "guards",
        where,
        lambda: check_guards(
            interpreter, path, contract, example, calls=hostile, group_size=together
        ),
    )


def _checked(name: str, where: str, look: Any) -> Check:
    try:
        return Check(name, where, True, look())
    except ExportError as error:
        return Check(name, where, False, str(error))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        told = f"expected what `ecct export` writes, got {error!r}; export the file again"
        return Check(name, where, False, told)


def _hash(path: Path) -> str:
    content = path.read_bytes()
    check_digest(content, expected_digest(path), name=path.name)
    return f"SHA-256 {digest(content)[:16]}… as in the manifest"


def _structure(content: bytes) -> str:
    metadata = read_metadata(content)
    if metadata.get("schema") != FILE_SCHEMA:
        raise ExportError(f"expected schema {FILE_SCHEMA}, found {metadata.get('schema')}")
    check_numbers(metadata)
    proves_itself(content)
    names = signature_names(read_model(content))
    if names.get(0) != "infer":
        raise ExportError(f"expected infer as subgraph 0, found {names.get(0)}")
    if set(names.values()) != set(metadata["signatures"]):
        raise ExportError(
            f"the metadata tells of the signatures {sorted(metadata['signatures'])}, the file has "
            f"{sorted(names.values())}"
        )
    return f"{len(names)} signatures, infer first"


def _operators(content: bytes) -> str:
    counts = check_operators(content)
    kinds = {name for found in counts.values() for name in found}
    return f"{len(kinds)} kinds, 0 Flex, 0 custom"


def _associated(path: Path, metadata: dict[str, Any]) -> str:
    files = associated_files(path)
    if json.loads(files.get(f"{METADATA}.json", "{}")).get("schema") != metadata["schema"]:
        raise ExportError(f"the zip's {METADATA}.json is not the file's metadata")
    expected = {entry["file"]: entry["rows"] for entry in metadata["profile"]}
    expected[metadata["items"]["file"]] = metadata["items"]["rows"]
    for name, rows in expected.items():
        if name is not None and len(vocabulary_rows(files.get(name, ""))) != rows:
            raise ExportError(f"{name}: expected {rows} lines, one a row")
    return ", ".join(sorted(files))


def _damaged(name: str, content: bytes, count: int) -> str:
    expected = digest(content)
    for told, altered in damaged_files(content, count, np.random.default_rng(0)):
        try:
            check_digest(altered, expected, name=name)
        except ExportError:
            continue
        if altered != content:
            raise ExportError(f"a copy {told} passed for whole")
    return f"{count} of {count} refused by their hash"


def _signatures(interpreter: Interpreter, path: Path, contract: dict[str, Signature]) -> str:
    found = interpreter.load(path)
    for name, signature in contract.items():
        for side, ports in (("inputs", signature.inputs), ("outputs", signature.outputs)):
            expected = {port.name: port.dtype for port in ports}
            if found.get(name, {}).get(side) != expected:
                raise ExportError(
                    f"{name}: expected {side} {expected}, found {found.get(name, {}).get(side)}"
                )
    return f"{len(contract)} as declared"
