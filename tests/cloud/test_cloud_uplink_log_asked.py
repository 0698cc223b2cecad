"""An answer counts only to a round that was asked, from after that, and for those items."""

import dataclasses

import numpy as np
import pytest

from cloud.uplink_log import Asked, AskedItems, AskedNotes, Note, Reason, ReplayWindow
from ecct_tf.errors import CodecError, DataError

OPENED = 1_000_000
LAST = 2**31 - 1


def asking(folder, *notes, newest_round=None, items=None):
    for note in notes:
        AskedNotes(folder).add(note, items)
    return Asked.read([folder], newest_round=newest_round)


def contract_of(uplinks, asked, **changes):
    return dataclasses.replace(
        uplinks.contract, asked=asked, newest_round=asked.newest_round, **changes
    )


def reasons(uplinks, folder, records, contract):
    """The reason against each record, None for a sound one."""
    uplinks.write(folder, [record.to_bytes() for record in records])
    (batch,), quarantine = uplinks.read(folder, contract=contract)
    found = {entry.content: entry.reason for entry in quarantine.entries()}
    assert len(batch) == len(records) - len(found)
    return [found.get(record.to_bytes()) for record in records]


@pytest.mark.parametrize("claimed", [4, 5_000, LAST])
def test_a_round_that_was_not_asked_yet_moves_nobody(claimed, tmp_path, uplinks):
    asked = asking(tmp_path / "asked", Note(3, 1, OPENED))
    window = ReplayWindow(50)
    honest = [uplinks(user, 3, at=OPENED) for user in range(9)]
    records = [*honest, uplinks(9, claimed, at=OPENED)]
    uplinks.write(tmp_path, [record.to_bytes() for record in records])
    contract = contract_of(uplinks, asked)
    (batch,), quarantine = uplinks.read(tmp_path, contract=contract, window=window)
    assert batch.users.tolist() == list(range(9))
    assert quarantine.counts() == {Reason.FUTURE_ROUND: 1}
    # The forged one did not move the window of its user: its own answer still counts.
    later = tmp_path / "later"
    uplinks.write(later, [uplinks(9, 3, at=OPENED).to_bytes()])
    (batch,), _ = uplinks.read(later, contract=contract, window=window)
    assert batch.users.tolist() == [9]


def test_a_record_is_held_to_its_own_time(tmp_path, uplinks):
    asked = asking(tmp_path / "asked", Note(3, 1, OPENED), Note(4, 1, OPENED + 500))
    contract = contract_of(uplinks, asked, newest_second=OPENED + 600, clock_slack_seconds=10)
    times = {
        (3, OPENED - 10): None,
        (3, OPENED - 11): Reason.FUTURE_ROUND,
        (4, OPENED + 489): Reason.FUTURE_ROUND,
        (4, OPENED + 490): None,
        (4, OPENED + 610): None,
        (4, OPENED + 611): Reason.FUTURE_TIME,
        (3, 253_402_300_799): Reason.FUTURE_TIME,
        (3, 0): Reason.FUTURE_ROUND,
    }
    records = [uplinks(user, number, at=at) for user, (number, at) in enumerate(times)]
    assert reasons(uplinks, tmp_path, records, contract) == list(times.values())
    _, quarantine = uplinks.read(tmp_path, contract=contract)
    told = [entry.message for entry in quarantine.entries()]
    assert "round 3 from after 1970-01-12 13:46:40, when it was opened" in told[0]
    assert "before 1970-01-12 13:56:40 and 10 s, it says 1970-01-12 13:56:51" in told[2]


def test_a_round_belongs_to_the_version_that_asked_it(tmp_path, uplinks):
    asked = asking(tmp_path / "asked", Note(2, 1, 0), Note(4, 1, 0), Note(4, 3, 0))
    wanted = {(2, 1): None, (4, 3): None, (2, 3): Reason.NOT_ASKED, (3, 1): Reason.NOT_ASKED}
    records = [
        uplinks(user, number, version=version) for user, (number, version) in enumerate(wanted)
    ]
    contract = contract_of(uplinks, asked)
    assert reasons(uplinks, tmp_path, records, contract) == list(wanted.values())
    _, quarantine = uplinks.read(tmp_path, contract=contract)
    assert [entry.message for entry in quarantine.entries()] == [
        "expected an answer to version [1] in round 2, got one to 3",
        "expected a round that was asked, got 3; see docs/uplink_log.md",
    ]


def test_where_nobody_notes_rounds_the_first_or_the_declared_ones_count(tmp_path, uplinks):
    records = [uplinks(user, number) for user, number in enumerate([0, 1, 7, 8])]
    nothing = contract_of(uplinks, Asked.nothing())
    future = Reason.FUTURE_ROUND
    assert reasons(uplinks, tmp_path, records, nothing) == [None, future, future, future]
    declared = contract_of(uplinks, Asked.nothing(newest_round=7))
    assert reasons(uplinks, tmp_path, records, declared) == [None, None, None, future]


def test_an_answer_is_for_the_items_that_were_asked_each_once(tmp_path, uplinks):
    items = AskedItems(
        users=np.array([[9, 4, 7], [5, 5, 6], [1, 2, 3]], np.int32),
        segments=np.array([[10, 11, 12], [20, 21, 22]], np.int32),
    )
    asked = asking(tmp_path / "asked", Note(3, 1, 0), items=items)
    answers = [
        (0, [9, 4, 7], None),
        (1, [5, 6, 5], None),  # asked twice, answered twice
        (2, [3, 2, 3], Reason.NOT_ASKED),
        (2, [1, 2, 4], Reason.NOT_ASKED),
        (0, [1, 2, 3], Reason.NOT_ASKED),  # another user's
        (2, [10, 11, 12], Reason.NOT_ASKED),  # known to the version, so not a segment's
        (3, [22, 21, 20], None),  # unknown to it
        (4, [10, 11, 22], Reason.NOT_ASKED),
        (5, [1, 2, 3], Reason.NOT_ASKED),
    ]
    records = [uplinks(user, 3, items=each, at=9 + n) for n, (user, each, _) in enumerate(answers)]
    found = reasons(uplinks, tmp_path, records, contract_of(uplinks, asked))
    assert found == [reason for *_, reason in answers]


def test_what_is_too_old_to_be_checked_is_refused(tmp_path, uplinks):
    items = AskedItems(np.array([[1, 2, 3]], np.int32), np.zeros((0, 3), np.int32))
    notes = [Note(number, 1, 0) for number in (3, 4, 67)]
    asked = asking(tmp_path / "asked", *notes, items=items)
    records = [uplinks(0, number, items=[3, 2, 1]) for number in (3, 4, 67)]
    found = reasons(uplinks, tmp_path, records, contract_of(uplinks, asked))
    assert found == [Reason.REPLAYED, None, None]


def test_a_note_stays_as_it_was_made(tmp_path):
    notes = AskedNotes(tmp_path)
    for seconds in (5, 9):
        notes.add(Note(1, 2, seconds))
    assert notes.notes() == (Note(1, 2, 5),)
    for strange in (Note, lambda *_: Note(2, -1, 0), lambda *_: Note(2, 1, -5)):
        with pytest.raises(CodecError, match="a note of a round: expected a"):
            strange(2**31, 1, 0)
    (path,) = tmp_path.iterdir()
    path.write_text(path.read_text().replace("5", "6"))
    with pytest.raises(DataError, match="expected the note of a round that was asked"):
        notes.notes()


def test_a_window_that_was_moved_on_is_taken_back():
    window = ReplayWindow(3)
    window.admit(np.array([0, 1, 2, 2]), np.array([LAST, 70, 8, 9]))
    taken_back = window.capped(8)
    rounds = np.array([8, 8, 8, 7])
    assert taken_back.admit(np.array([0, 1, 2, 2]), rounds).tolist() == [0, 0, 1, 0]
    # The original is as it was.
    assert window.admit(np.array([0, 2]), np.array([8, 9])).tolist() == [2, 1]
