"""What a cloud of one's own is refused for, and how an error in its code is named."""

import dataclasses
import sys

import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs
from module_files import load_file

from ecct_tf import TwoTowerCloud
from ecct_tf.errors import ConfigError

SHOP = load_file("tests/cloud/own_shop.py")


@pytest.fixture(scope="module", autouse=True)
def _by_name():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "own_test_refusals", sys.modules[__name__])
        yield


@pytest.fixture(scope="module")
def make(shop_clouds):
    return shop_clouds(SHOP.shop_view(), names="own_test_refusals:")


# Builders, whose towers are as small as can be.

towers = plain = SHOP.towers


def asks_for_the_town(spec):
    return spec.query_inputs("town")


def of_two_widths(spec):
    return dataclasses.replace(
        plain(spec), query_tower=towers(spec, width=2).query_tower, tables={}
    )


def with_dropout(spec):
    inputs = spec.query_inputs("user_id")
    values = tf.keras.layers.Embedding(spec.queries["user_id"].size, 3)(inputs["user_id"])
    tower = tf.keras.Model(inputs, tf.keras.layers.Dropout(0.5)(values))
    return dataclasses.replace(plain(spec), query_tower=tower, tables={})


def not_finite(spec):
    inputs = spec.candidate_inputs("price")
    values = tf.repeat(tf.math.log(-1.0 - inputs["price"])[:, None], 3, axis=1)
    return dataclasses.replace(
        plain(spec), candidate_tower=tf.keras.Model(inputs, values), tables={}
    )


def no_towers(spec):
    spec.query_inputs()


def a_function(spec):
    return dataclasses.replace(plain(spec), query_tower=lambda inputs: inputs["user_id"])


def tables_of_nothing(spec):
    made = plain(spec)
    return dataclasses.replace(made, tables={"user": made.tables["item"]})


def tables_of_a_stranger(spec):
    return dataclasses.replace(plain(spec), tables={"shelf": []})


def legacy_optimizer(spec):
    return dataclasses.replace(plain(spec), optimizer=tf.keras.optimizers.legacy.SGD(0.1))


@pytest.mark.parametrize(
    ("builder", "told"),
    [
        ("of_two_widths", "one width, got embeddings of 2 from query_tower and 3 from candidate"),
        ("with_dropout", r"query_tower: layer 'dropout\w*' \(Dropout\) draws random numbers"),
        ("not_finite", "expected finite embeddings of candidate_tower"),
        ("no_towers", "returns a TwoTowerCloud or a RankerCloud of the spec, got NoneType"),
        ("a_function", "expected a tf.keras.Model as query_tower, got function"),
        ("tables_of_nothing", r"tables\['user'\]: expected 16 rows.*shape \(25, 3\)"),
        ("tables_of_a_stranger", r"tables\['shelf'\]: expected one of user, item, plan, tags"),
        ("legacy_optimizer", "expected an optimiser of tf.keras.optimizers"),
        ("asks_for_the_town", "federated ones stay on their devices"),
    ],
)
def test_what_no_exchange_can_be_made_of_is_refused(make, builder, told):
    with pytest.raises(ConfigError, match=f"(?s)cloud.model.*{told}|town.*{told}"):
        make(builder)


class Reads(tf.keras.Model):
    """Looks up the column `name`."""

    def __init__(self, name, rows=30):
        super().__init__()
        self.column = name
        self.table = tf.keras.layers.Embedding(rows, 3)

    def call(self, inputs):
        return self.table(inputs[self.column])


def divides_by_zero(spec):
    return len(spec.queries) / 0


def ends_the_program(spec):
    raise SystemExit(len(spec.candidates))


def asks_for_another_width(spec):
    return plain(spec).query_tower(tf.zeros([1, 2, 3]))["user"]


def a_tower_reads_the_town(spec):
    return dataclasses.replace(plain(spec), query_tower=Reads("town"), tables={})


def a_tower_reads_the_prise(spec):
    return dataclasses.replace(plain(spec), candidate_tower=Reads("prise"), tables={})


def a_task_divides_by_zero(spec):
    return dataclasses.replace(plain(spec), task=lambda **_: 1 / 0)


def a_task_answers_nothing(spec):
    return dataclasses.replace(plain(spec), task=lambda **_: None)


def inputs_of_its_own(spec):
    town = tf.keras.Input((), dtype="int32", name="town")
    tower = tf.keras.Model({"town": town}, tf.keras.layers.Embedding(9, 3)(town))
    return dataclasses.replace(plain(spec), query_tower=tower, tables={})


def inputs_without_names(spec):
    town = tf.keras.Input((), dtype="int32")
    tower = tf.keras.Model([town], tf.keras.layers.Embedding(9, 3)(town))
    return dataclasses.replace(plain(spec), query_tower=tower, tables={})


@pytest.mark.parametrize(
    ("builder", "told"),
    [
        ("divides_by_zero", r"failed at test_\w+\.py, line \d+: ZeroDivisionError"),
        ("ends_the_program", r"failed at test_\w+\.py, line \d+: SystemExit: 4"),
        ("asks_for_another_width", r"failed at test_\w+\.py, line \d+: \w+Error: "),
        (
            "asks_for_the_town",
            r"failed at test_\w+\.py, line \d+: .*'town': expected one of user_id",
        ),
        ("a_tower_reads_the_town", r"query_tower failed at \w+\.py.*town.*is given user_id, hist"),
        ("a_tower_reads_the_prise", r"candidate_tower failed at \w+\.py.*prise.*is given item_id"),
        ("a_task_divides_by_zero", r"task failed at test_\w+\.py, line \d+: ZeroDivisionError"),
        ("a_task_answers_nothing", "task failed: ValueError"),
        ("inputs_of_its_own", r"query_tower has the input 'town': expected .*user_id, history"),
        ("inputs_without_names", r"query_tower has the input 'input_\d+': expected inputs named"),
    ],
)
def test_an_error_in_code_of_ones_own_names_its_line(make, builder, told):
    with pytest.raises(ConfigError, match=rf"^cloud.model 'own_test_refusals:{builder}'.*{told}"):
        make(builder)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"task": "retrieval"}, r"task: expected .*got 'r' in str"),
        ({"task": [tfrs.tasks.Retrieval]}, r"task: expected .*pairs \[\(task, weight\), \.\.\.\]"),
        ({"task": [(tfrs.tasks.Retrieval, "much")]}, "pairs"),
        ({"task": 3}, r"such as Retrieval\(\), got 3"),
        ({"tables": ["item"]}, r"tables: expected a dictionary .*got list"),
    ],
)
def test_a_description_of_another_form_is_refused(given, told):
    with pytest.raises(ConfigError, match=told):
        TwoTowerCloud(None, None, **given)
