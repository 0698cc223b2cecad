"""The changes of a file that a device may meet, row by row as `docs/migration.md` has them.

Python and Kotlin walk the same rows: what Python makes of them lies in `golden/migration.json`.
Those of a context are Python's alone, for the Kotlin library refuses such files.
"""

import copy
import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecct_tf.data.numbers import NUMBER_ROWS, Scaling
from mobile_export.contract.meaning import context_of
from mobile_export.contract.signatures import signatures
from mobile_export.device.history import labelled, with_tokens
from mobile_export.device.labels import StateLabels
from mobile_export.device.moments import context_rows
from mobile_export.device.profile import profile_row, profile_texts
from mobile_export.device.state import DeviceState, ReceivedDownlink
from mobile_export.flatbuffer.packing import associated_files
from mobile_export.making.labels import number_rule
from mobile_export.runtime.edge_file import EdgeFile

GOLDEN = (
    Path(__file__).parents[2] / "mobile_export/android/ecct-edge-core/src/test/resources/golden"
)
NAME = "x"
HISTORY = [3, 1, 4, 15, 9, 26]
TIMES = [0, 1_790_000_000, 1_790_000_100, 0, 1_790_000_300, 1_790_000_400]


@dataclasses.dataclass
class Told:
    """Metadata and vocabularies of a file that need not exist."""

    metadata: dict[str, Any]
    texts: dict[str, str]

    @classmethod
    def golden(cls) -> "Told":
        texts = associated_files(GOLDEN / "edge.tflite")
        return cls(json.loads(texts.pop("ecct_edge.json")), texts)

    def file(self, sha256: str | None = None) -> EdgeFile:
        """As a device sees it."""
        written = json.dumps([self.metadata, self.texts], sort_keys=True).encode()
        found = sha256 or hashlib.sha256(written).hexdigest()
        return EdgeFile(name=NAME, sha256=found, metadata=self.metadata, texts=self.texts)

    @property
    def items(self) -> list[str]:
        return self.texts["items.txt"].removesuffix("\n").split("\n")[1:]

    def set_items(self, tokens: list[str]) -> None:
        first = self.texts["items.txt"].partition("\n")[0]
        self.texts["items.txt"] = "\n".join([first, *tokens]) + "\n"
        rows = len(tokens) + 1
        self.metadata["items"] |= {"rows": rows, "table_sha256": f"{rows:064x}"}

    def set_words(self, index: int, words: list[str]) -> None:
        name = self.metadata["profile"][index]["file"]
        self.texts[name] = "\n".join(["<unknown>", *words]) + "\n"
        self.metadata["profile"][index]["rows"] = len(words) + 1
        self.reshape(f"profile_{index}", rows=len(words) + 1)

    def reshape(self, name: str, *, rows: int) -> None:
        for entry in self.metadata["weights"]["layout"]:
            if entry[0] == name:
                entry[1][0] = rows
        self.resize()

    def add_number(self, scaling: Scaling) -> None:
        entry = {"name": "age", "rows": NUMBER_ROWS, "unknown_row": 0, "file": None}
        self.metadata["profile"].append({**entry, "number": number_rule(scaling)})
        self.reshape("hidden/kernel", rows=33)
        self.reshape("head/inputs", rows=33)

    def set_context(self, columns: Mapping[str, Sequence[str]]) -> None:
        """A context that it reads, an input for each value, and no clock."""
        features = self.metadata["features"]
        before = sum(map(len, context_of(self.metadata).values()))
        added = sum(map(len, columns.values())) - before
        features.pop("context", None)
        if columns:
            features["context"] = [
                {"name": name, "values": list(words)} for name, words in columns.items()
            ]
        self.reshape("hidden/kernel", rows=self.kernel_rows + added)
        self.reshape("head/inputs", rows=self.kernel_rows)

    @property
    def kernel_rows(self) -> int:
        shapes = dict(self.metadata["weights"]["layout"])
        return int(shapes["hidden/kernel"][0])

    def resize(self) -> None:
        """Signatures of the sizes that the rest tells."""
        weights = self.metadata["weights"]
        weights["size"] = sum(int(np.prod(shape)) for _, shape in weights["layout"])
        trainable = self.metadata["variant"]["trainable"]
        columns = tuple(context_of(self.metadata))
        sizes = dataclasses.replace(self.file().sizes, clock_width=len(columns), context=columns)
        found = signatures(sizes, trainable=trainable)
        self.metadata["signatures"] = {name: each.as_dict() for name, each in found.items()}


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
      change: as the documentation names it.
      before: the file of the device.
      after: the file that takes it over.
      profile: that the app gave the device.
      given: that it gives anew.
      anew: whether weights begin anew.
      earlier: whether an earlier release wrote the state.
      previous: whether the former file is at hand.
      context: that the app gave with the interactions, those that it gave by token last.
      refused: a part of the message, where it is refused.
    """

    change: str
    before: Told
    after: Told
    profile: Any = dataclasses.field(default_factory=lambda: {"c0": "v1", "c1": "v3"})
    given: Mapping[str, str] | None = None
    anew: bool = False
    earlier: bool = False
    previous: bool = False
    context: Mapping[str, list[str | None]] = dataclasses.field(default_factory=dict)
    refused: str = ""

    @property
    def state(self) -> DeviceState:
        """A device of the former file."""
        file = self.before.file()
        size = file.sizes.weights
        values = (np.arange(file.sizes.state) * 2.0**-10).astype(np.float32)
        downlink = ReceivedDownlink(
            np.arange(file.sizes.cloud_dim).astype(np.int8),
            np.array([7, 0, 40, 2]),
            scale=0.5,
            cloud_version=3,
            round_number=5,
            table_sha256=file.table_sha256,
        )
        state = DeviceState(
            model=file.sha256,
            layout=file.layout,
            user=11,
            profile=profile_row(file, self.profile, what="test"),
            history=np.array(HISTORY),
            num_older=2,
            values=values,
            downlink=downlink,
            round_number=5,
            times=np.array(TIMES),
            start=values[:size] / 2,
            labels=StateLabels(file.meaning, texts=profile_texts(file, self.profile)),
            context=context_rows(
                {name: words[: len(HISTORY)] for name, words in self.context.items()},
                count=len(HISTORY),
                values=file.features.context,
            ),
            context_values=file.features.context,
        )
        # One that no file knows, between two that all know.
        last = {name: words[len(HISTORY) :] for name, words in self.context.items()}
        tokens = ["never seen", file.item_tokens[4]]
        state = with_tokens(state, file, tokens, times=[None, 5], context=last)
        return dataclasses.replace(state, labels=None) if self.earlier else labelled(state, file)

    @property
    def fresh(self) -> Any:
        """What the file that takes over begins with."""
        file = self.after.file()
        size = file.sizes.state if file.metadata["variant"]["trainable"] else 0
        return (-np.arange(size) * 2.0**-10).astype(np.float32)


def rows() -> list[Row]:
    """The table."""
    base = Told.golden()
    found: list[Row] = []

    def add(change: str, edit: Any = None, *, start: Told = base, **more: Any) -> Told:
        after = copy.deepcopy(base if start is base else start)
        if edit is not None:
            edit(after)
        found.append(Row(change, start, after, **more))
        return after

    def number(scaling: Scaling) -> Told:
        told = copy.deepcopy(base)
        told.add_number(scaling)
        return told

    def section(name: str, **entries: Any) -> Any:
        return lambda told: told.metadata[name].update(entries)

    add("the same vocabularies, other weights", section("provenance", run="newer"))
    add("items appended", lambda told: told.set_items([*told.items, "new a", "new b"]))
    add("items re-sorted", lambda told: told.set_items(told.items[::-1]))
    fewer = add(
        "items removed",
        lambda told: told.set_items([t for t in told.items if t not in ("film 4", "film 9")]),
    )
    add(
        "removed or unknown items that a file knows again",
        lambda told: told.set_items([*told.items, "film 9", "never seen", "film 4"]),
        start=fewer,
    )
    add("items named by row numbers instead of tokens",
        section("items", file=None), refused="named by tokens")  # fmt: skip
    add("profile values added", lambda told: told.set_words(0, ["v0", "v1", "v2", "v4"]))
    add("profile values re-sorted", lambda told: told.set_words(1, ["v3", "v2", "v1"]))
    add("the user's profile value removed", lambda told: told.set_words(0, ["v2", "v3"]))
    add("a profile value that only the new file knows",
        lambda told: told.set_words(0, ["v1", "v2", "v9"]),
        profile={"c0": "v9", "c1": "v3"})  # fmt: skip
    add("another private column", lambda told: told.add_number(Scaling(log=True)),
        refused="private columns c0, c1, there c0, c1, age")  # fmt: skip
    ages, wider = number(Scaling(min=20, max=60)), number(Scaling(min=10, max=90))
    known = {"c0": "v1", "c1": "v3", "age": "34"}
    scaled = {"start": ages, "edit": lambda told: told.metadata.update(wider.metadata)}
    add("another rule for a private number that the app gave", profile=known, **scaled)
    add("another rule for a private number of which only the code is known",
        profile=[1, 3, 400_000], refused="by another rule", **scaled)  # fmt: skip
    add("the same, and the app gives the profile", profile=[1, 3, 400_000], given=known, **scaled)
    add("decays, history length or clock settings, of the same number",
        section("features", decays=[0.95, 0.7]))  # fmt: skip
    add("another number of decays, or other sizes of the model",
        lambda told: told.reshape("hidden/kernel", rows=35),
        refused="hidden/kernel [33, 8], there hidden/kernel [35, 8]")  # fmt: skip
    add("other blocks of the item table",
        section("items", blocks=[["preference", 3], ["sequence", 3], ["next item", 36]]),
        refused="blocks of the item table")  # fmt: skip

    def adam(told: Told) -> None:
        told.metadata["training"].update(optimizer="adam", slot_starts=[0.0, 0.0])
        told.resize()

    add("another optimiser", adam)
    add("another tier", lambda told: told.metadata.update(tier="linear"),
        refused="tier mlp, there linear")  # fmt: skip
    add("adapters instead of all weights, or the reverse", section("variant", adapters=True),
        refused="adapters")  # fmt: skip

    def inference(told: Told) -> None:
        told.metadata["variant"].update(trainable=False, name="inference-int8")
        told.resize()

    add("a file that does not train", inference, refused="does not train")
    add("any of these, with fresh weights",
        lambda told: told.metadata.update(tier="linear"), anew=True)  # fmt: skip
    add("another codec or width of the downlink", section("exchange", codec="float16"))
    add("a state of an earlier release", section("provenance", run="newer"), earlier=True,
        refused="does not tell what its rows mean")  # fmt: skip
    add("the same, with the former file given",
        lambda told: told.set_items(told.items[::-1]), earlier=True, previous=True)  # fmt: skip
    return found


CONTEXT = {"network": ("wifi", "mobile"), "place": ("home", "work", "train")}
GIVEN = {
    "network": ["wifi", None, "mobile", "wifi", "mobile", "wifi", "mobile", "wifi"],
    "place": ["home", "work", None, "train", "home", "home", "train", "work"],
}


def rows_of_context() -> list[Row]:
    """The end of the table: the context of requests, which Python alone reads."""
    plain, knows = Told.golden(), Told.golden()
    knows.set_context(CONTEXT)
    found: list[Row] = []

    def add(change: str, columns: Mapping[str, Sequence[str]], *, start: Told, **more: Any) -> None:
        after = copy.deepcopy(start)
        after.metadata["provenance"]["run"] = "newer"
        after.set_items(after.items[::-1])
        after.set_context(columns)
        given = GIVEN if start is knows else {}
        found.append(Row(change, start, after, context=given, **more))

    other = {"place": CONTEXT["place"][::-1], "network": ("wifi", "cable")}
    add("the same context of requests", CONTEXT, start=knows)
    add("a context of requests, where the former file reads none", CONTEXT, start=plain,
        refused="context of requests none, there network (wifi, mobile), place")  # fmt: skip
    add("no context of requests, where the former file reads one", {}, start=knows,
        refused="place (home, work, train), there none")  # fmt: skip
    add("other values or columns of the context, or another order of them", other, start=knows,
        refused="there place (train, work, home), network (wifi, cable)")  # fmt: skip
    add("a context where there was none, with fresh weights", CONTEXT, start=plain, anew=True)
    add("no context where there was one, with fresh weights", {}, start=knows, anew=True)
    add("another context, with fresh weights", other, start=knows, anew=True)
    return found
