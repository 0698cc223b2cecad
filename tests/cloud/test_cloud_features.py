"""What the cloud model reads, by hand."""

import numpy as np
import pytest

from cloud.features import (
    category_matrix,
    item_attributes,
    tail_length,
    training_positions,
    user_state,
)
from ecct_tf.data import CentralizedTable, Column, EncodedColumn, FeatureSchema, Kind, Side
from ecct_tf.errors import ConfigError
from ecct_tf.knowledge import Block

YEAR = Column("year", "item", Side.CENTRALIZED, Kind.NUMERIC)
GENRES = Column("genres", "item", Side.CENTRALIZED, Kind.MULTI_CATEGORICAL)
STUDIO = Column("studio", "item", Side.CENTRALIZED, Kind.CATEGORICAL)
SCHEMA = FeatureSchema("hand", (YEAR, GENRES, STUDIO))


@pytest.fixture(scope="module")
def hand_view(make_view):
    columns = (
        EncodedColumn(YEAR, np.array([0, 1990, 2000, 2010], np.float32)),
        EncodedColumn(
            GENRES,
            np.array([[0, 0], [1, 0], [1, 1], [0, 0]], np.float32),
            ("drama", "war"),
        ),
        EncodedColumn(STUDIO, np.array([0, 1, 2, 0], np.int32), ("a", "b")),
    )
    return make_view([[1, 2], [1, 2, 3], [1]], num_items=3, schema=SCHEMA, item_columns=columns)


def _block(seed, items=5, width=2):
    rng = np.random.default_rng(seed)
    source = rng.normal(size=(items, width)).astype(np.float32)
    return Block(f"block{seed}", source, source + 1)


def test_attributes_are_standardised_over_real_items(hand_view):
    attributes = item_attributes(hand_view)
    assert attributes.shape == (4, 2)
    popularity = np.log1p([3, 2, 1])
    expected = (popularity - popularity.mean()) / popularity.std()
    np.testing.assert_allclose(attributes[1:, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(attributes[1:, 1], [-1.2247, 0, 1.2247], atol=1e-4)
    np.testing.assert_array_equal(attributes[0], 0.0)


def test_a_constant_attribute_becomes_zero(make_view):
    attributes = item_attributes(make_view([[1, 2, 3]], num_items=3))
    np.testing.assert_array_equal(attributes, np.zeros((4, 1)))


def test_places_tell_how_far_into_histories_users_meet_an_item(make_view):
    view = make_view([[1, 2, 3], [1, 3], [1]], num_items=4)
    places = item_attributes(view, places=True)[:, 1]
    # Means of log(1 + place) that begin with five interactions at the usual place.
    logs = np.log([1, 2, 3])
    usual = (3 * logs[0] + 2 * logs[1] + logs[2]) / 6
    raw = np.array(
        [
            5 * usual / 8,
            (logs[1] + 5 * usual) / 6,
            (logs[2] + logs[1] + 5 * usual) / 7,
            usual,
        ]
    )
    np.testing.assert_allclose(places[1:], (raw - raw.mean()) / raw.std(), rtol=1e-4)
    assert places[0] == 0.0
    assert places[1] < places[4] < places[3]


def test_places_of_a_view_without_interactions_say_nothing(make_view):
    attributes = item_attributes(make_view([[], []], num_items=2), places=True)
    np.testing.assert_array_equal(attributes, np.zeros((3, 2)))


def test_categories_are_unit_rows(hand_view):
    matrix = category_matrix(hand_view.items, rows=4)
    half, third = 2**-0.5, 3**-0.5
    expected = [
        [0, 0, 0, 0],  # padding
        [half, 0, half, 0],  # drama, studio a
        [third, third, 0, third],  # drama and war, studio b
        [0, 0, 0, 0],  # nothing known
    ]
    np.testing.assert_allclose(matrix, expected, rtol=1e-6)
    assert category_matrix(CentralizedTable(SCHEMA, ()), rows=7).shape == (7, 0)


def test_user_state_by_hand():
    first, second = _block(1), _block(2)
    history = np.array([3, 1], np.int32)
    state = user_state((first, second), history, np.array([9.0], np.float32))
    parts = []
    for block in (first, second):
        for decay in (1.0, 0.9, 0.6):
            parts.append(decay * block.source[3] + block.source[1])  # 3 is one step older
    scale = 1 / np.sqrt(3)
    parts += [scale * (block.source[3] + block.source[1]) for block in (first, second)]
    parts += [[np.log(3) - 4.0], [9.0]]
    np.testing.assert_allclose(state, np.concatenate(parts), rtol=1e-5)
    assert state.dtype == np.float32


def test_user_state_without_history_is_finite():
    state = user_state((_block(1),), np.zeros(0, np.int32), np.zeros(0, np.float32))
    np.testing.assert_array_equal(state, [0.0] * 8 + [-4.0])


@pytest.mark.parametrize(
    ("length", "tail", "expected"),
    [(0, 0.3, 0), (1, 0.3, 0), (2, 0.3, 1), (10, 0.3, 3), (10, 0.31, 4), (3, 1.0, 2), (5, 0.0, 0)],
)
def test_tail_length(length, tail, expected):
    assert tail_length(length, tail) == expected


def test_positions_are_seen_from_before_the_tail(make_view):
    view = make_view([[1, 2, 3, 4], [2], [], [4, 1]], num_items=4)
    blocks = (_block(1), _block(2))
    nothing = np.zeros((4, 0), np.float32)
    positions = training_positions(view, blocks, nothing, tail=0.5)
    assert positions.users.tolist() == [0, 0, 3]
    assert positions.items.tolist() == [3, 4, 1]
    before = user_state(blocks, np.array([1, 2], np.int32), nothing[0])
    np.testing.assert_array_equal(positions.states_before(np.array([0, 1])), [before, before])
    assert len(positions.states) == 2  # One a user who has a tail, however long it is.


def test_a_view_without_positions_is_refused(make_view):
    view = make_view([[1, 2, 3]], num_items=4)
    with pytest.raises(ConfigError, match=r"cloud\.tail"):
        training_positions(view, (_block(1),), np.zeros((1, 0), np.float32), tail=0.0)
