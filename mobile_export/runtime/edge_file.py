"""What a packed file tells of itself: sizes, vocabularies, settings, and what they mean.

No interpreter is needed for it, nor TensorFlow.
"""

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from ecct_tf.config import FeatureConfig
from ecct_tf.data.outcomes import target_names
from ecct_tf.errors import ExportError
from ecct_tf.wire import architecture_fingerprint
from mobile_export.contract.held import held_room
from mobile_export.contract.meaning import context_of, kept_columns, meaning_of
from mobile_export.contract.samples import group_size_of, samples_of
from mobile_export.contract.signatures import (
    FILE_SCHEMA,
    Sizes,
    contract_of,
    custom_codec_name,
    graph_codec,
)
from mobile_export.contract.soundness import check_numbers
from mobile_export.flatbuffer.packing import associated_files, vocabulary_rows

__all__ = ["EdgeFile", "vocabularies"]


class EdgeFile:
    """What a file tells of itself.

    Attributes:
      name: of the file.
      sha256: of its bytes, in hexadecimal.
      metadata: what it tells of itself.
      sizes: what its shapes follow from.
      features: how it reads histories, clock and context, as far as its caller prepares that.
      samples: what devices of the run trained on.
      group_size: rows of `train` that belong together: all of a position, or 1.
      room: for rows of items; None where the file holds the whole item table.
      num_items: items that there are, from 1.
      table_sha256: of the item table that it holds, as the cloud publishes it, in hexadecimal.
      contract: its signatures by name.
      layout: SHA-256 of how it lays out its weights and optimiser slots; files that share
        it can take each other's weights.
      architecture: fingerprint of its edge model, as files of starting weights have it.
      profile_words: rows of the values of each private category, by its name.
      item_tokens: of items 1, 2, …; empty where the file has none, a token then is the row.
      meaning: what decides whether another file can take over its rows and weights.

    Args:
      name: of the file.
      sha256: of its bytes, in hexadecimal.
      metadata: of the file.
      texts: its vocabularies by the names of their files.

    Raises:
      ExportError: when it is of another release's schema, or tells numbers that cannot be.
    """

    def __init__(
        self, *, name: str, sha256: str, metadata: dict[str, Any], texts: Mapping[str, str]
    ) -> None:
        self.name = name
        self.sha256 = sha256
        self.metadata = metadata
        if self.metadata["schema"] != FILE_SCHEMA:
            raise ExportError(
                f"{name}: expected schema {FILE_SCHEMA}, found {self.metadata['schema']}; "
                "export it again with this release"
            )
        check_numbers(self.metadata)
        self.contract = contract_of(self.metadata)
        self.sizes = _sizes(self.metadata)
        self.features = FeatureConfig(
            history_length=self.sizes.history_length,
            last_items=0,
            clock=self.sizes.clock_width > len(self.sizes.context),
            context=context_of(self.metadata),
        )
        self.samples = samples_of(self.metadata)
        self.kept_columns = kept_columns(self.metadata)
        self.group_size = group_size_of(self.metadata)
        self.room = held_room(self.metadata)
        told = self.metadata["items"]
        self.num_items = int(told["held"]["catalog"] if self.room else told["rows"] - 1)
        self.table_sha256 = str(self.metadata["items"]["table_sha256"])
        self.layout = _layout(self.metadata)
        self.architecture = architecture_fingerprint(
            self.metadata["tier"], self.metadata["model"], self.metadata["weights"]["layout"]
        )
        self.profile_words = _profile_words(self.metadata, texts)
        self.item_tokens = _item_tokens(self.metadata, texts)
        self.meaning = meaning_of(self.metadata, tokens=self.item_tokens, words=self.profile_words)

    @functools.cached_property
    def item_rows(self) -> Mapping[str, int]:
        """Rows of items by their tokens."""
        return {token: row for row, token in enumerate(self.item_tokens, start=1)}

    def item_row(self, token: str) -> int:
        """The row of an item; 0 for one that the file does not have.

        In a file without tokens a token is the row as a decimal number.
        """
        if self.metadata["items"].get("file"):
            return self.item_rows.get(token, 0)
        row = int(token) if re.fullmatch(r"[0-9]{1,10}", token) else 0
        return row if row <= self.num_items else 0


def _sizes(metadata: Mapping[str, Any]) -> Sizes:
    signatures, exchange = metadata["signatures"], metadata["exchange"]
    weights = int(metadata["weights"]["size"])
    slots = len(metadata["training"]["slot_starts"])
    shapes = {port["name"]: port["shape"] for port in signatures["infer"]["inputs"]}
    listed = {port["name"]: port["shape"] for port in signatures["score"]["inputs"]}
    return Sizes(
        history_length=metadata["features"]["history_length"],
        profile_columns=len(metadata["profile"]),
        cloud_dim=exchange["cloud_dim"],
        embedding_dim=exchange["embedding_dim"],
        num_queries=exchange["num_queries"],
        codec=graph_codec(exchange["codec"]),
        custom_codec=custom_codec_name(exchange["codec"]),
        with_logits=exchange["with_logits"],
        with_noise=exchange["noise_multiplier"] > 0,
        weights=weights,
        state=weights * (1 + slots) + 1,
        batch=shapes["candidates"][0],
        candidates=listed["candidates"][0],
        clock_width=listed.get("clock", [0])[0],
        context=tuple(context_of(metadata)),
        targets=target_names(samples_of(metadata)),
        item_rows=listed.get("item_rows", [0])[0],
        row_bytes=listed.get("item_rows", [0, 0])[1],
    )


def vocabularies(metadata: Mapping[str, Any], content: bytes, *, name: str) -> dict[str, str]:
    """The vocabularies of a file, by the names of their files.

    Args:
      metadata: of the file.
      content: its bytes.
      name: of the file, for messages.

    Raises:
      ExportError: it has some, and they are damaged.
    """
    told = any(column.get("file") for column in metadata.get("profile", []))
    return (
        associated_files(content, name=name)
        if told or metadata.get("items", {}).get("file")
        else {}
    )


def _profile_words(
    metadata: Mapping[str, Any], texts: Mapping[str, str]
) -> dict[str, dict[str, int]]:
    found = {}
    for column in metadata["profile"]:
        if column.get("file"):
            words = vocabulary_rows(texts.get(column["file"], ""))
            found[str(column["name"])] = {word: row for row, word in enumerate(words) if row}
    return found


def _item_tokens(metadata: Mapping[str, Any], texts: Mapping[str, str]) -> tuple[str, ...]:
    file = metadata["items"].get("file")
    return tuple(vocabulary_rows(texts.get(file, ""))[1:]) if file else ()


def _layout(metadata: Mapping[str, Any]) -> str:
    parts = [
        metadata["tier"],
        metadata["weights"],
        metadata["variant"]["adapters"],
        metadata["training"]["optimizer"],
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
