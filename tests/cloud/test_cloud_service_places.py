"""Answers by place reach the log as records with items, or are refused by name."""

import dataclasses
import struct

import numpy as np
import pytest
from module_files import load_file

from cloud.service.answers import Limits, RefusedAnswerError, read_answers
from cloud.service.questions import Questions
from ecct_tf.wire import DownlinkFile, PlacedRecord, UplinkForm, UplinkRecord, by_place

pieces = load_file("tests/cloud/service_pieces.py")
NOW, FORM, published = pieces.NOW, pieces.FORM, pieces.published


def answer(user=7, round_number=5, *, items=(1, 2), form=FORM, version=1):
    """An answer to the questions of `published`, which are 1 and 2 for everybody."""
    head = struct.pack(f"<{1 + len(items)}i", user, *items)
    payload = head + bytes(form.payload_bytes - len(head))
    return UplinkRecord(user, round_number, version, NOW, form, payload)


def read(body, questions, *, user=7, newest=9):
    return read_answers(
        body, user=user, newest_round=newest, now=NOW, limits=Limits(), questions=questions
    )


@pytest.fixture
def public(tmp_path):
    published(tmp_path / "public")
    return tmp_path / "public"


def test_answers_by_place_and_with_items_become_the_same_records(public):
    questions, records = Questions(public), [answer(), answer()]
    body = by_place(records[0].to_bytes()) + records[1].to_bytes()
    assert read(body, questions) == tuple(records)
    # A user whom the cloud did not know was asked as a segment.
    assert read(by_place(answer(99).to_bytes()), questions, user=99) == (answer(99),)
    assert (questions.resolved, questions.unresolved) == (2, 0)


def test_late_answers_find_their_round_and_version_among_earlier_publications(public):
    questions = Questions(public)
    for number in (6, 7):
        published(public, round_number=number, users=(4, 7, 9))
        late = answer(7, 5)
        assert read(by_place(late.to_bytes()), questions) == (late,)
        new = answer(9, number)
        assert read(by_place(new.to_bytes()), questions, user=9) == (new,)
    (gone,) = [
        path
        for path in public.glob("downlinks-*.ecdn")
        if DownlinkFile.from_bytes(path.read_bytes()).round_number == 6
    ]
    gone.unlink()
    (segments,) = [
        path
        for path in public.glob("segments-*.ecdn")
        if DownlinkFile.from_bytes(path.read_bytes()).round_number == 6
    ]
    segments.unlink()
    with pytest.raises(RefusedAnswerError, match="not in the publication any more") as caught:
        read(by_place(answer(7, 6).to_bytes()), questions)
    assert (caught.value.status, caught.value.index, caught.value.needs_items) == (422, 0, True)
    assert questions.unresolved == 1
    # With its items the same answer is one for the log's reader to judge.
    assert read(answer(7, 6).to_bytes(), questions) == (answer(7, 6),)


def test_questions_are_found_in_the_file_of_their_user_where_there_are_several(tmp_path):
    public = tmp_path / "public"
    public.mkdir()
    published(tmp_path / "whole", users=(4, 7, 9))
    (path,) = (tmp_path / "whole").glob("downlinks-*.ecdn")
    whole = DownlinkFile.from_bytes(path.read_bytes())
    for start, stop in ((0, 2), (2, 3)):
        part = dataclasses.replace(
            whole, keys=whole.keys[start:stop], records=whole.records[start:stop]
        ).to_bytes()
        (public / f"downlinks-000001-{part[-32:].hex()[:16]}.ecdn").write_bytes(part)
    questions = Questions(public)
    for user in (4, 7, 9):
        assert read(by_place(answer(user).to_bytes()), questions, user=user) == (answer(user),)
    for stranger in (3, 5, 10):
        with pytest.raises(RefusedAnswerError, match="not in the publication"):
            read(by_place(answer(stranger).to_bytes()), questions, user=stranger)


def own_questions(public, rows):
    """The publication's downlinks with questions of each user's own."""
    (path,) = public.glob("downlinks-*.ecdn")
    file = DownlinkFile.from_bytes(path.read_bytes())
    records = file.records.copy()
    records["queries"] = rows
    path.unlink()
    content = dataclasses.replace(file, records=records).to_bytes()
    path.with_name(f"downlinks-000001-{content[-32:].hex()[:16]}.ecdn").write_bytes(content)


@pytest.mark.parametrize(
    ("sent", "match"),
    [
        (answer(items=(8, 6)), "got some to others"),
        (answer(items=(2, 1)), "got some to others"),
        # A segment's questions, from a user with questions of its own.
        (answer(items=(1, 2)), "got some to others"),
        (answer(items=(6, 8), round_number=4), "not in the publication any more"),
        (answer(items=(6, 8), version=2), "not in the publication any more"),
        *(
            (
                answer(
                    items=(6, 8, 9)[:count],
                    form=UplinkForm(queries=count, embedding_dim=3, codec="int8", with_logits=True),
                ),
                f"the 2 questions .* got {count}",
            )
            for count in (1, 3)
        ),
    ],
)
def test_what_answers_other_questions_is_refused_and_items_are_asked_for(public, sent, match):
    own_questions(public, np.array([[5, 4], [6, 8]]))
    questions = Questions(public)
    sound = by_place(answer(items=(6, 8)).to_bytes())
    assert read(sound, questions) == (answer(items=(6, 8)),)
    # All of a request is taken, or nothing.
    with pytest.raises(RefusedAnswerError, match=match) as caught:
        read(sound + by_place(sent.to_bytes()), questions)
    assert (caught.value.status, caught.value.index, caught.value.needs_items) == (422, 1, True)
    with pytest.raises(RefusedAnswerError, match="holds no questions"):
        read(sound, None)


def test_a_strangers_answer_is_refused_before_its_questions_are_looked_for(public):
    questions = Questions(public)
    for body, status in (
        (by_place(answer(4).to_bytes()), 403),
        (by_place(answer(7, 10).to_bytes()), 422),
        (by_place(answer().to_bytes())[:-1] + b"\0", 400),
    ):
        with pytest.raises(RefusedAnswerError) as caught:
            read(body, questions)
        assert (caught.value.status, caught.value.needs_items) == (status, False)
    assert (questions.resolved, questions.unresolved) == (0, 0)


def test_a_damaged_file_of_downlinks_resolves_nothing(public, caplog):
    for path in public.glob("*-000001-*.ecdn"):
        content = bytearray(path.read_bytes())
        content[-40] ^= 4
        path.write_bytes(content)
    with pytest.raises(RefusedAnswerError, match="not in the publication any more"):
        read(PlacedRecord.of(answer()).to_bytes(), Questions(public))
    assert "the file is damaged" in caplog.text
