"""The contract of an exported file: its signatures, their inputs and outputs.

Whoever loads a file (Kotlin, Python, a browser) reads this table, or the same table in
the file's metadata; nothing else is agreed on. No TensorFlow here: a device imports it.

Shapes: `B` rows of training samples, `C` candidates, `Q` queries of the cloud, `L` slots
of a history, `P` trained weights, `S` values of state. In a dynamic file B and C are
whatever the caller gives (`None` below), in a static file they are fixed.

Histories are item ids, newest last, 0 for empty slots at the front. An id that the item
table does not have, a value that is not finite and a learning rate out of range are
replaced inside the graph, see `mobile_export.making.guards`. In a file that takes rows of items as
the input `item_rows`, histories, candidates and queries name places in it instead of items.

`train` takes rows in any order, unless the loss reads positions: where `group_size` of the
section `training` in the metadata is above 1, rows come position by position, whole, each with its
own item first and then its negatives; padding, whose mask is 0, likewise. A position's rows have
one history and one clock, which are read from its first row. A mask between 0 and 1
is a sample's weight; a position weighs as much as the mean of its samples.

The input `profile` has whole numbers: of a category its row, of a private number its code, as the
metadata's section `profile` has the rule; 0 is unknown in both.

Where the models read the time, histories come with a reading of the clock, as
`ecct_tf.data.clock.clock_reading` makes it; zeros are a silent one. `uplink` takes none.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from ecct_tf.config import CLOCK_CONTEXT, CodecName, is_own_codec

__all__ = [
    "FILE_SCHEMA",
    "Port",
    "Signature",
    "Sizes",
    "contract_of",
    "custom_codec_name",
    "graph_codec",
    "signatures",
]

FILE_SCHEMA = "ecct-edge/1"


@dataclasses.dataclass(frozen=True)
class Port:
    """An input or output of a signature.

    Attributes:
      name: its name in the file.
      dtype: as NumPy spells it: `float32`, `int32` or `int8`.
      shape: `None` where the caller decides.
      meaning: in one sentence.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    meaning: str

    def as_dict(self) -> dict[str, Any]:
        """For the metadata."""
        return {**dataclasses.asdict(self), "shape": list(self.shape)}


@dataclasses.dataclass(frozen=True)
class Signature:
    """One entry point of a file; every one has at least one input, as Java demands."""

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    meaning: str

    def as_dict(self) -> dict[str, Any]:
        """For the metadata."""
        return {
            "inputs": [port.as_dict() for port in self.inputs],
            "outputs": [port.as_dict() for port in self.outputs],
            "meaning": self.meaning,
        }


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What the shapes of a file follow from.

    Attributes:
      history_length: L.
      profile_columns: private columns: categories, numbers, values of sets; with none there is no
        `profile` input.
      cloud_dim: d_c, width of the user embedding in a downlink.
      embedding_dim: d_e, width of the edge embedding in an uplink.
      num_queries: Q.
      codec: of downlink and uplink: `float32`, `float16` or `int8`; `float32` where the codec is a
        custom one, for then the device decodes and encodes outside of the file.
      with_logits: whether logits cross (stage 2).
      with_noise: whether the device adds noise to its uplink.
      weights: P, trained values.
      state: S, values of `save`: weights, optimiser slots, step.
      batch: B of a static file; None for a dynamic one.
      candidates: C of a static file; None for a dynamic one.
      clock_width: W, values of a reading of the clock; without a clock, 0, there is no `clock`
        input.
      context: columns of the context, whose codes end a reading.
      targets: names of the further targets, T of them, whose logits follow the first.
      item_rows: R, rows of items that the file takes as an input; 0 where it holds the whole table,
        and there is no such input.
      row_bytes: of a row in that input, its item's number included.
      custom_codec: name of the custom codec that the device decodes and encodes with; empty where
        the codec is one of the library's.
    """

    history_length: int
    profile_columns: int
    cloud_dim: int
    embedding_dim: int
    num_queries: int
    codec: str
    with_logits: bool
    with_noise: bool
    weights: int
    state: int
    batch: int | None = None
    candidates: int | None = None
    clock_width: int = 0
    context: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    item_rows: int = 0
    row_bytes: int = 0
    custom_codec: CodecName = ""


def graph_codec(codec: CodecName) -> CodecName:
    """How a file's tensors are where devices exchange through `codec`."""
    return codec if is_own_codec(codec) else "float32"


def custom_codec_name(codec: CodecName) -> CodecName:
    """`codec` where it is a custom one, else empty."""
    return "" if is_own_codec(codec) else codec


def signatures(sizes: Sizes, *, trainable: bool) -> Mapping[str, Signature]:
    """The signatures of a file, by name, `infer` first.

    Args:
      sizes: what the shapes follow from.
      trainable: whether the file can be trained.
    """
    found = [_infer(sizes), _score(sizes), _uplink(sizes)]
    if trainable:
        found += [_train(sizes), *_state_signatures(sizes)]
    return {signature.name: signature for signature in found}


def contract_of(metadata: Mapping[str, Any]) -> dict[str, Signature]:
    """The signatures as the metadata tells them."""

    def ports(entries: list[dict[str, Any]]) -> tuple[Port, ...]:
        return tuple(
            Port(entry["name"], entry["dtype"], tuple(entry["shape"]), entry.get("meaning", ""))
            for entry in entries
        )

    return {
        name: Signature(
            name, ports(entry["inputs"]), ports(entry["outputs"]), entry.get("meaning", "")
        )
        for name, entry in metadata["signatures"].items()
    }


def _user(sizes: Sizes) -> tuple[Port, ...]:
    """What belongs to the user, not to a sample: profile, downlink, rows of items, as received."""
    ports = []
    if sizes.profile_columns:
        ports.append(
            Port("profile", "int32", (sizes.profile_columns,), "private columns, 0 for unknown")
        )
    if sizes.codec == "int8":
        ports += [
            Port("user_embedding", "int8", (sizes.cloud_dim,), "of the downlink, as received"),
            Port("user_embedding_scale", "float32", (1,), "its scale, read from float16"),
        ]
    else:
        ports.append(Port("user_embedding", "float32", (sizes.cloud_dim,), "of the downlink"))
    if sizes.item_rows:
        told = "number (little-endian int32) and published row of each item that the device holds"
        ports.append(Port("item_rows", "int8", (sizes.item_rows, sizes.row_bytes), told))
    return tuple(ports)


def _clock(sizes: Sizes, *lead: int | None) -> tuple[Port, ...]:
    """The time that belongs to a history: `[*lead, W]`; it never leaves the device."""
    if not sizes.clock_width:
        return ()
    shape = (*lead, sizes.clock_width)
    told = "reading of the clock: " + ", ".join(CLOCK_CONTEXT)
    told += "; then hours since each item of the history; zeros say nothing"
    if sizes.context:
        codes = f"codes of {', '.join(sizes.context)}, 0 for unknown"
        timed = sizes.clock_width > len(sizes.context)
        told = f"{told}; then {codes}" if timed else codes
    return (Port("clock", "float32", shape, told),)


def _rows(sizes: Sizes) -> tuple[Port, ...]:
    """Rows with a history of their own: a sample is judged from what came before it."""
    return (
        Port("history", "int32", (sizes.batch, sizes.history_length), "what came before each row"),
        Port("candidates", "int32", (sizes.batch,), "the item of each row"),
        *_clock(sizes, sizes.batch),
        *_user(sizes),
    )


def _infer(sizes: Sizes) -> Signature:
    return Signature(
        "infer",
        _rows(sizes),
        (
            Port("logit", "float32", (sizes.batch,), "z_e"),
            Port("probability", "float32", (sizes.batch,), "sigmoid of the logit"),
            Port("embedding", "float32", (sizes.batch, sizes.embedding_dim), "h_e"),
            *_target_logits(sizes, sizes.batch),
        ),
        "Judges rows, each from its own history: what `train` trains.",
    )


def _score(sizes: Sizes) -> Signature:
    return Signature(
        "score",
        (
            Port("history", "int32", (sizes.history_length,), "the user's newest items"),
            Port("candidates", "int32", (sizes.candidates,), "items to rank"),
            *_clock(sizes),
            *_user(sizes),
        ),
        (
            Port("logit", "float32", (sizes.candidates,), "z_e"),
            Port("probability", "float32", (sizes.candidates,), "sigmoid of the logit"),
            *_target_logits(sizes, sizes.candidates),
        ),
        "Ranks candidates for the user as of now; the history is pooled once.",
    )


def _train(sizes: Sizes) -> Signature:
    return Signature(
        "train",
        (
            *_rows(sizes),
            Port("labels", "float32", (sizes.batch,), "1 for an interaction, 0 for a negative"),
            *_target_labels(sizes),
            Port("mask", "float32", (sizes.batch,), "1 for a sample, 0 for padding"),
            Port("learning_rate", "float32", (1,), "of the shared weights, at most 1"),
            Port("private_learning_rate", "float32", (1,), "of the private ones, at most 1"),
        ),
        (
            Port("loss", "float32", (1,), "mean over the samples, before the step"),
            Port("gradient_norm", "float32", (1,), "Euclidean"),
            Port("applied", "float32", (1,), "1 when weights changed, 0 when the step was refused"),
            Port("step", "float32", (1,), "steps since `reset_optimizer`"),
            *_target_losses(sizes),
        ),
        "One optimiser step on a batch.",
    )


def _target_logits(sizes: Sizes, rows: int | None) -> tuple[Port, ...]:
    """`[rows, T]`; they never leave the device."""
    if not sizes.targets:
        return ()
    told = f"logits of {', '.join(sizes.targets)}"
    return (Port("target_logits", "float32", (rows, len(sizes.targets)), told),)


def _target_labels(sizes: Sizes) -> tuple[Port, ...]:
    if not sizes.targets:
        return ()
    told = f"labels of {', '.join(sizes.targets)}, below 0 where there is none"
    return (Port("target_labels", "float32", (sizes.batch, len(sizes.targets)), told),)


def _target_losses(sizes: Sizes) -> tuple[Port, ...]:
    if not sizes.targets:
        return ()
    told = f"those of {', '.join(sizes.targets)}, before their weights in the loss"
    return (Port("target_losses", "float32", (len(sizes.targets),), told),)


def _uplink(sizes: Sizes) -> Signature:
    queries, width = sizes.num_queries, sizes.embedding_dim
    inputs = [
        Port("history", "int32", (sizes.history_length,), "the user's newest items"),
        Port("queries", "int32", (queries,), "the items that the cloud asks about"),
        *_user(sizes),
    ]
    if sizes.with_noise:
        inputs.append(
            Port("noise", "float32", (queries, width + 1), "standard normal, drawn anew each time")
        )
    # Runtimes for Java and browsers have no float16: its bits travel in an int32.
    dtype = {"float32": "float32", "float16": "int32", "int8": "int8"}[sizes.codec]
    told = {"float32": "", "float16": "; float16 bits in the low half"}.get(
        sizes.codec, ", encoded"
    )
    scale_told = "their scales: float16 bits in the low half"
    outputs = [
        Port("items", "int32", (queries,), "the queries, 0 for what is no item"),
        Port("embeddings", dtype, (queries, width), f"h_e, clipped{told}"),
    ]
    if sizes.codec == "int8":
        outputs.append(Port("embedding_scales", "int32", (queries,), scale_told))
    if sizes.with_logits:
        outputs.append(Port("logits", dtype, (queries,), f"z_e, clipped{told}"))
        if sizes.codec == "int8":
            outputs.append(Port("logit_scale", "int32", (1,), scale_told))
    return Signature(
        "uplink",
        tuple(inputs),
        tuple(outputs),
        "Answers the cloud; its rows are packed as `ecct_tf.wire` says.",
    )


def _state_signatures(sizes: Sizes) -> list[Signature]:
    # A dynamic file takes any length and refuses the wrong one itself.
    dynamic = sizes.batch is None
    weights_in = None if dynamic else sizes.weights
    state_in = None if dynamic else sizes.state
    trigger = Port("unused", "float32", (1,), "anything: a signature needs an input")
    accepted = Port("accepted", "float32", (1,), "1, or 0 when the values were refused")
    weights_told, state_told = "trained values, flat", "weights, optimiser slots, step"
    return [
        Signature(
            "get_weights",
            (trigger,),
            (Port("weights", "float32", (sizes.weights,), weights_told),),
            "Reads the weights.",
        ),
        Signature(
            "set_weights",
            (Port("weights", "float32", (weights_in,), weights_told),),
            (accepted,),
            "Replaces the weights; refused whole when one value is not finite.",
        ),
        Signature(
            "save",
            (trigger,),
            (Port("state", "float32", (sizes.state,), state_told),),
            "Reads the whole state, to be kept as bytes by the app.",
        ),
        Signature(
            "restore",
            (Port("state", "float32", (state_in,), state_told),),
            (accepted,),
            "Goes on where `save` was, bit by bit.",
        ),
        Signature(
            "reset_optimizer",
            (trigger,),
            (Port("step", "float32", (1,), "0"),),
            "Forgets the optimiser's slots, as a device does when a round begins.",
        ),
    ]
