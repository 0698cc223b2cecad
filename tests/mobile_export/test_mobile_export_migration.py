"""A device moves to another file: each row of the table keeps, or refuses with a reason."""

import dataclasses
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from module_files import load_file

from ecct_tf.errors import DeviceError
from ecct_tf.knowledge import Block
from mobile_export.device import Device, DeviceModel, TrainingPlan
from mobile_export.device.migration import adopt_state
from mobile_export.device.moments import context_words
from mobile_export.device.state import DeviceState
from mobile_export.flatbuffer.packing import digest, expected_digest
from mobile_export.making.export import Labels, export_edge_model

pieces = load_file("tests/mobile_export/migration_pieces.py")
GOLDEN, Told, rows = pieces.GOLDEN, pieces.Told, pieces.rows
DOCS = Path(__file__).parents[2] / "docs/migration.md"
OF_BOTH = rows()
ROWS = {row.change: row for row in [*OF_BOTH, *pieces.rows_of_context()]}
RUNTIME = "tensorflow"


def adopted(row):
    # The state of an earlier release names its file by the SHA-256, which Kotlin has too.
    state, former = row.state, None
    if row.previous:
        own = expected_digest(GOLDEN / "edge.tflite")
        state, former = dataclasses.replace(state, model=own), row.before.file(own)
    return state, lambda: adopt_state(
        state,
        row.after.file(),
        row.fresh,
        profile=row.given,
        weights="anew" if row.anew else "keep",
        previous=former,
    )


def case(row):
    """The row as Kotlin reads it."""
    base = Told.golden()
    state, adopt = adopted(row)
    found = {
        "change": row.change,
        "state": digest(state.as_bytes())[:16],
        "metadata": {
            name: value
            for name, value in row.after.metadata.items()
            if value != base.metadata.get(name)
        },
        "texts": {
            name: text for name, text in row.after.texts.items() if text != base.texts.get(name)
        },
        "given": row.given,
        "anew": row.anew,
        "previous": row.previous,
        "refused": row.refused,
    }
    if not row.refused:
        made = adopt()
        found["adopted"] = made.state.as_bytes().hex()
        found["migration"] = dataclasses.asdict(made.migration) | {
            "notes": list(made.migration.notes)
        }
    return found


def test_the_documentation_has_these_rows():
    table = DOCS.read_text(encoding="utf-8").partition("| change |")[2].partition("\n\n")[0]
    told = re.findall(r"^\| ([^|]+?) \| (kept|refused)\b", table, flags=re.MULTILINE)
    assert told == [(row.change, "refused" if row.refused else "kept") for row in ROWS.values()]


@pytest.mark.parametrize("change", ROWS)
def test_each_change_keeps_or_refuses(change):
    row = ROWS[change]
    _, adopt = adopted(row)
    if row.refused:
        with pytest.raises(DeviceError, match=re.escape(row.refused)) as told:
            adopt()
        assert re.search("anew|give the profile again", str(told.value))  # the way out
        return
    found, before = adopt().state, row.state
    assert found.model == row.after.file().sha256
    # All that was told is there: known or waiting, in its order, with its time.
    assert told_of(found, row.after) == told_of(before, row.before)
    assert DeviceState.from_bytes(found.as_bytes(), name="x").as_bytes() == found.as_bytes()
    if not row.anew:
        weights = row.after.file().sizes.weights
        same = row.before.metadata["weights"] == row.after.metadata["weights"]
        words = row.before.texts == row.after.texts or "profile" not in row.change
        if same and words:
            np.testing.assert_array_equal(found.values[:weights], before.values[:weights])
        # The optimiser begins anew.
        np.testing.assert_array_equal(found.values[weights:], row.fresh[weights:])


def told_of(state, told):
    """Every interaction by its token, oldest first: its time, and whether the cloud knows it."""
    tokens = ["", *told.items]
    events = [
        (place, 1, tokens[row], time, place < state.num_older)
        for place, (row, time) in enumerate(zip(state.history, state.times, strict=True))
    ]
    if state.labels is not None:
        events += [
            (each.place, 0, each.token, each.time, order < state.labels.waiting_older)
            for order, each in enumerate(state.labels.waiting)
        ]
    return [event[2:] for event in sorted(events, key=lambda event: event[:2])]


def test_the_golden_table_is_what_python_makes_now():
    path = GOLDEN / "migration.json"
    states = [adopted(row)[0].as_bytes() for row in OF_BOTH]
    now = {
        "states": {digest(state)[:16]: state.hex() for state in states},
        "rows": [case(row) for row in OF_BOTH],
    }
    if os.environ.get("WRITE_GOLDEN"):
        path.write_text(json.dumps(now, separators=(",", ":")) + "\n")
    assert json.loads(path.read_text(encoding="utf-8")) == now


def words_of(state):
    """The context of every interaction, in words, oldest first."""

    def listed(codes):
        columns = context_words(np.array(codes), values=state.context_values)
        return [
            dict(zip(columns, words, strict=True)) for words in zip(*columns.values(), strict=True)
        ]

    if not state.context_values:
        return []
    events = [(place, 1, words) for place, words in enumerate(listed(state.context))]
    for each in state.labels.waiting:
        events.append((each.place, 0, *listed([each.context])))
    return [words for *_, words in sorted(events, key=lambda event: event[:2])]


NETWORK, PLACE = pieces.GIVEN["network"], pieces.GIVEN["place"]
NOTES = {
    "a context where there was none, with fresh weights": [
        "context: network is new, and unknown for what came before",
        "context: place is new, and unknown for what came before",
    ],
    "no context where there was one, with fresh weights": [
        "context: network was dropped, x does not read it",
        "context: place was dropped, x does not read it",
    ],
    "another context, with fresh weights": [
        "context: network is unknown where it was one of the values that x does not know"
    ],
}
KEPT_WORDS = {
    "the same context of requests": (NETWORK, PLACE),
    "a context where there was none, with fresh weights": ([None] * 8, [None] * 8),
    "no context where there was one, with fresh weights": ([], []),
    "another context, with fresh weights": (
        [word if word == "wifi" else None for word in NETWORK],
        PLACE,
    ),
}


@pytest.mark.parametrize("change", KEPT_WORDS)
def test_the_context_of_what_was_done_is_kept_by_its_words(change):
    row = ROWS[change]
    state, adopt = adopted(row)
    if row.context:
        given = [{"network": one, "place": two} for one, two in zip(NETWORK, PLACE, strict=True)]
        assert words_of(state) == given
    made = adopt()
    network, place = KEPT_WORDS[change]
    wanted = [{"network": one, "place": two} for one, two in zip(network, place, strict=True)]
    assert words_of(made.state) == wanted
    # A file without a context has states that former releases read.
    assert made.state.as_bytes()[4] == (3 if wanted else 2)
    notes = [note for note in made.migration.notes if note.startswith("context: ")]
    assert notes == NOTES.get(change, [])


def test_profile_rows_follow_their_words():
    row = ROWS["profile values added"]
    state, adopt = adopted(row)
    found = adopt().state
    assert found.profile.tolist() == [2, 3]
    before = state.values[:6].reshape(3, 2)
    table, fresh = found.values[:10].reshape(5, 2), row.fresh[:10].reshape(5, 2)
    # Unknown and v1 are the device's own; the others it never trained.
    np.testing.assert_array_equal(table[[0, 2]], before[[0, 1]])
    np.testing.assert_array_equal(table[[1, 3, 4]], fresh[[1, 3, 4]])
    np.testing.assert_array_equal(found.values[10:-1], state.values[6:-1])
    assert len(found.start) == len(found.values) - 1


def test_a_number_that_the_app_gave_is_read_by_the_new_rule():
    row = ROWS["another rule for a private number that the app gave"]
    found = adopted(row)[1]().state
    given = row.after.file()
    again = dataclasses.replace(row, profile={"c0": "v1", "c1": "v3", "age": 34}, before=row.after)
    assert found.profile.tolist() == again.state.profile.tolist()
    assert found.profile.tolist() != row.state.profile.tolist()
    assert found.labels.file == given.meaning


def test_what_was_removed_takes_its_place_again():
    away = adopted(ROWS["items removed"])[1]()
    assert (away.migration.unknown, away.state.num_older) == (2, 2)
    assert [each.token for each in away.state.labels.waiting] == ["film 4", "film 9", "never seen"]
    back = adopt_state(away.state, Told.golden().file(), ROWS["items removed"].fresh)
    assert back.migration.returned == 2
    assert told_of(back.state, Told.golden()) == told_of(ROWS["items removed"].state, Told.golden())


@pytest.fixture(scope="module")
def sorted_anew(works, table, task_of, weights_of, tmp_path_factory):
    """Two files of one table; the second has its rows in another order. And the order."""
    order = np.concatenate([[0], 1 + np.random.default_rng(2).permutation(40)])
    blocks = []
    for block in table.blocks:
        source = block.source[order]
        target = source if block.is_symmetric else block.target[order]
        blocks.append(Block(block.name, source, target))
    moved = dataclasses.replace(
        table,
        blocks=tuple(blocks),
        attributes=table.attributes[order],
        cloud=table.cloud[order],
        bias=table.bias[order],
    )
    work, models = works["mlp"], []
    for rows_of, tokens in ((table, np.arange(41)), (moved, order)):
        (file,) = export_edge_model(
            work.model, weights_of(work), rows_of, task=task_of(work),
            out=tmp_path_factory.mktemp("sorted"),
            labels=Labels(items=[f"film {number}" for number in tokens[1:]]),
        )  # fmt: skip
        models.append(DeviceModel(file.path, runtime=RUNTIME))
    return models


def auc(device, liked):
    tokens = device.model.file.item_tokens
    logits = device.score(np.arange(1, 41))
    own = np.array([token in liked for token in tokens])
    pairs = logits[own][:, None] - logits[~own][None, :]
    return float((pairs > 0).mean())


def test_a_trained_device_ranks_alike_after_items_were_sorted_anew(sorted_anew, tmp_path):
    before, after = sorted_anew
    liked = [f"film {number}" for number in (3, 8, 11, 17, 22, 30, 34, 39)]
    device = Device.create(tmp_path / "7.state", before, user=7, profile=[0, 0])
    device.interact([*liked[:4], "of another shop", *liked[4:], "of another shop"])
    assert device.unknown_items == {"of another shop": 2}
    for seed in range(6):
        device.train(TrainingPlan(seed=seed, epochs=10, learning_rate=0.3))
    wanted = [before.file.item_tokens[row - 1] for row, _ in device.recommend(8, with_met=True)]
    known = auc(device, liked)
    assert auc(device, wanted) == 1.0
    as_it_was = dataclasses.replace(device.state, model=after.file.sha256)
    moved = Device.adopt(device.path, after)
    assert moved.migration.moved >= 6
    assert moved.unknown_items == {"of another shop": 2}
    assert abs(auc(moved, liked) - known) < 0.01
    assert auc(moved, wanted) > 0.99
    best = [after.file.item_tokens[row - 1] for row, _ in moved.recommend(8, with_met=True)]
    assert best == wanted
    # What row numbers alone would make of it.
    moved._file.replace(as_it_was)
    assert auc(Device(device.path, after), wanted) < 0.9
    assert Device(device.path, after).migration is None


def test_tokens_and_rows_do_not_mix_and_a_refusal_leaves_the_state(sorted_anew, packed, tmp_path):
    before, _ = sorted_anew
    device = Device.create(tmp_path / "7.state", before, user=7, profile=[0, 0], history=[1, 2])
    with pytest.raises(DeviceError, match="expected a list of whole numbers"):
        device.interact(["film 3", 4])
    kept = device.path.read_bytes()
    with pytest.raises(DeviceError, match="named by tokens"):
        Device.adopt(device.path, DeviceModel(packed("mlp"), runtime=RUNTIME))
    with pytest.raises(DeviceError, match="expected 'keep' or 'anew'"):
        before.adopt(device.state, weights="again")
    assert device.path.read_bytes() == kept
