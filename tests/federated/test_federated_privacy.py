"""Privacy by construction: what TFF may bring to the server, and what the cloud may depend on."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_federated import structure

from cloud import CloudRecommender
from ecct_tf.data import (
    CentralizedTable,
    CloudView,
    Column,
    EncodedColumn,
    Kind,
    Side,
    cloud_view,
    device_view,
    leave_one_out,
)
from ecct_tf.data.profile import profile_shape
from ecct_tf.edge import ItemTensors, item_tensors
from ecct_tf.errors import PrivacyError
from ecct_tf.federated import DeviceData, compat, prepare_devices
from ecct_tf.knowledge import Downlink, KnowledgeStore
from ecct_tf.simulation.builder import device_work
from ecct_tf.simulation.experiment import build_experiment
from ecct_tf.simulation.run_cloud import build_cloud

STATE = {"shared", "first_moment", "second_moment", "round_number"}
UPLINK = {"users", "items", "embeddings.0"}
TABLE = {
    "source",
    "target",
    "attributes",
    "cloud",
    "bias",
    "feature_mean",
    "feature_scale",
    "logit_mean",
    "logit_scale",
}


def _leaves(kind, placement=None, path=""):
    """`{path: (placement, tensor type)}` of all tensors in a type."""
    if hasattr(kind, "placement"):
        return _leaves(kind.member, str(kind.placement).lower(), path)
    if not hasattr(kind, "dtype"):
        found = {}
        for index, (name, part) in enumerate(structure.to_elements(kind)):
            found |= _leaves(part, placement, f"{path}.{name or index}".lstrip("."))
        return found
    return {path: (placement, str(kind))}


def _at(kind, placement):
    return {path: tensor for path, (where, tensor) in _leaves(kind).items() if where == placement}


def _declared(spec, shared_size):
    """The explicit list: all that a round may bring to the server, with its form."""
    queries, width = spec.num_queries, spec.embedding_dim
    vector = f"float32[{shared_size}]"
    declared = {
        "0.shared": vector,
        "0.first_moment": vector,
        "0.second_moment": vector,
        "0.round_number": "int32",
        "1.users": "int32[?]",
        "1.items": f"int32[?,{queries}]",
        "1.embeddings.0": f"float32[?,{queries},{width}]",
        "3.0": "float32",  # sum of losses
        "3.1": "float32",  # number of samples
    }
    if spec.with_logits:
        declared["1.logits.0"] = f"float32[?,{queries}]"
    return declared


def _check_server(computation, spec, shared_size):
    """Raises unless the server gets the declared fields and nothing else."""
    got = _at(computation.type_signature.result, "server")
    declared = _declared(spec, shared_size)
    unknown = {path: kind for path, kind in got.items() if declared.get(path) != kind}
    if unknown or set(got) != set(declared):
        raise PrivacyError(f"undeclared at the server: {unknown or set(declared) - set(got)}")


def test_the_server_gets_the_declared_fields_only(experiment):
    for (index, stage), computation in experiment.process.rounds.items():
        work = experiment.process.cohorts[index].work
        spec = dataclasses.replace(work.exchange, with_logits=stage == 2)
        _check_server(computation, spec, work.shared_size)
        result = computation.type_signature.result
        # What stays with the devices: their private weights. No value is placed nowhere.
        assert _at(result, "clients") == {"2": f"float32[?,{work.private_size}]"}
        assert _at(result, None) == {}


def test_the_server_gives_weights_and_the_public_item_table_only(experiment):
    for computation in experiment.process.rounds.values():
        parameter = computation.type_signature.parameter
        given = {path.split(".", 1)[1] for path in _at(parameter, "server")}
        assert given == STATE | TABLE
        tops = {path.split(".")[0] for path in _at(parameter, "clients")}
        assert tops == {"data", "private", "downlink"}


@pytest.mark.parametrize("column", ["profile", "history", "labels"])
def test_control_a_leaking_computation_is_caught(column, experiment):
    """One more value at the server, be it a mere sum, fails the check."""
    computation, work = experiment.process.rounds[0, 2], experiment.process.cohorts[0].work
    parameter = computation.type_signature.parameter

    @compat.tensor_computation(parameter[2].member)
    def peek(data):
        return tf.reduce_sum(tf.cast(getattr(data, column), tf.float32))

    @compat.federated_computation(*parameter)
    def leaking(state, items, data, private, downlink):
        state, uplink, private, totals = computation(state, items, data, private, downlink)
        leak = compat.federated_sum(compat.federated_map(peek, data))
        return state, uplink, private, totals, leak

    _check_server(computation, work.exchange, work.shared_size)
    with pytest.raises(PrivacyError, match="'4': 'float32'"):
        _check_server(leaking, work.exchange, work.shared_size)


def test_control_a_wider_uplink_is_caught(experiment):
    """A field that keeps its name but carries more does not pass either."""
    computation, work = experiment.process.rounds[0, 2], experiment.process.cohorts[0].work
    narrower = dataclasses.replace(work.exchange, embedding_dim=work.exchange.embedding_dim - 1)
    with pytest.raises(PrivacyError, match="embeddings"):
        _check_server(computation, narrower, work.shared_size)
    quiet = dataclasses.replace(work.exchange, with_logits=False)
    with pytest.raises(PrivacyError, match="logits"):
        _check_server(computation, quiet, work.shared_size)


@pytest.mark.usefixtures("runtime")
def test_the_cloud_receives_a_store_of_uplinks_only(experiment, make_cloud):
    """Whatever the process hands to the cloud is a user number, a round or a knowledge store."""
    handed = []

    class Spy:
        def __init__(self, inner):
            self._inner = inner

        def __getattr__(self, name):
            def call(*args, **kwargs):
                handed.append((name, args, kwargs))
                return getattr(self._inner, name)(*args, **kwargs)

            return call

    process = experiment.process
    everybody = np.arange(process.num_devices)
    process.next(process.initialize(0), Spy(make_cloud()), everybody, everybody)
    assert {name for name, _, _ in handed} == {"downlinks", "queries", "update"}
    for name, args, kwargs in handed:
        (first,) = args
        if name == "update":
            assert isinstance(first, KnowledgeStore)
            assert set(kwargs) == {"round_number", "use_logits"}
        else:
            assert first.dtype == np.int32
            assert set(kwargs) <= {"knowledge", "round_number"}
            assert kwargs.get("knowledge") is None
    fields = [field.name for field in dataclasses.fields(KnowledgeStore)]
    newest = ["items", "embeddings", "logits", "rounds", "logit_rounds"]
    assert fields == [*newest, "earlier_items", "earlier_logits", "earlier_rounds"]


def _held_back(dataset, split):
    """Mask in file order: recent, validation and test interactions."""
    order = np.lexsort((np.arange(len(dataset.users)), dataset.timestamps, dataset.users))
    mask = np.ones(len(order), bool)
    for user in split.users:
        start = split.offsets[user]
        mask[order[start : start + len(split.older(user))]] = False
    return mask


def _with_items(dataset, mask, items):
    changed = dataset.items.copy()
    changed[mask] = items[mask] if isinstance(items, np.ndarray) else items
    return dataclasses.replace(dataset, items=changed)


def _with_other_profiles(dataset):
    return dataclasses.replace(
        dataset,
        user_columns=tuple(
            dataclasses.replace(
                column,
                values=(column.values % len(column.vocabulary) + 1).astype(np.int32),
                vocabulary=tuple(f"CANARY-{word}" for word in column.vocabulary),
            )
            for column in dataset.user_columns
        ),
    )


def _products(dataset, split, config):
    """All that a cloud makes of a dataset before the first uplink, as bytes by name."""
    cloud = CloudRecommender(
        cloud_view(dataset, split),
        dataclasses.replace(config.cloud, fit_epochs=1),
        features=config.features,
        edge_dim=config.edge.embedding_dim,
        num_queries=config.exchange.queries,
        seed=config.seed,
    )
    cloud.fit()
    table = cloud.publish()
    users = np.arange(dataset.num_users, dtype=np.int32)
    made = {f"weights {name}": value for name, value in cloud.snapshot().items()}
    for block in table.blocks:
        made |= {f"{block.name} source": block.source, f"{block.name} target": block.target}
    for name in ("attributes", "cloud", "bias", "feature_mean", "feature_scale"):
        made[name] = getattr(table, name)
    made["logit moments"] = np.array([table.logit_mean, table.logit_scale])
    for number in range(2):
        made[f"queries {number}"] = cloud.queries(users, round_number=number)
        made[f"users {number}"] = cloud.downlinks(users, round_number=number)
    return {name: value.tobytes() for name, value in made.items()}, table


@pytest.fixture(scope="module")
def products(dataset, split, config):
    return _products(dataset, split, config)[0]


def test_the_cloud_does_not_depend_on_anything_federated(dataset, split, config, products):
    mask = _held_back(dataset, split)
    moved = _with_items(dataset, mask, dataset.items % dataset.num_items + 1)
    changed = _with_other_profiles(moved)
    other = leave_one_out(changed)
    assert (changed.items[mask] != dataset.items[mask]).all()
    for before, after in zip(dataset.user_columns, changed.user_columns, strict=True):
        assert before.column.side is Side.FEDERATED
        assert (before.values != after.values).all()
    got, _ = _products(changed, other, config)
    assert [name for name in products if products[name] != got[name]] == []
    assert set(got) == set(products)


def test_control_the_cloud_does_depend_on_what_it_may_know(dataset, split, config, products):
    one = np.zeros(len(dataset.items), bool)
    one[np.flatnonzero(~_held_back(dataset, split))[:3]] = True
    changed = _with_items(dataset, one, dataset.items % dataset.num_items + 1)
    got, _ = _products(changed, leave_one_out(changed), config)
    differing = {name for name in products if products[name] != got[name]}
    assert {"attributes", "users 0", "preference source", "sequence source"} <= differing


def _with_times(dataset, mask, added):
    """The same order with other pauses: the k-th of a user's masked times moves by k `added`."""
    times = dataset.timestamps.copy()
    for user in range(dataset.num_users):
        mine = np.flatnonzero(mask & (dataset.users == user))
        mine = mine[np.argsort(times[mine], kind="stable")]
        times[mine] += added * (1 + np.arange(len(mine)))
    return dataclasses.replace(dataset, timestamps=times)


@pytest.fixture(scope="module")
def clocked(config):
    next_item = dataclasses.replace(config.cloud.next_item, epochs=0)
    return dataclasses.replace(
        config,
        features=dataclasses.replace(config.features, clock=True),
        cloud=dataclasses.replace(config.cloud, fit_epochs=1, next_item=next_item),
    )


def test_the_cloud_does_not_depend_on_recent_times(dataset, split, clocked):
    mask = _held_back(dataset, split)
    moved = _with_times(dataset, mask, 5000)
    other = leave_one_out(moved)
    assert other.items.tobytes() == split.items.tobytes()
    before, _ = _products(dataset, split, clocked)
    after, _ = _products(moved, other, clocked)
    assert [name for name in before if before[name] != after[name]] == []
    # Control: the times that it may know make the moments of its item table.
    earlier = _with_times(dataset, ~mask, 1)
    early, _ = _products(earlier, leave_one_out(earlier), clocked)
    assert {name for name in before if before[name] != early[name]} == {
        "feature_mean",
        "feature_scale",
    }


def test_an_answer_is_given_without_the_clock(dataset, split, clocked):
    """With the same weights the same bytes, whatever the recent times: none is in the payload."""
    answers, samples = [], []
    for data in (dataset, _with_times(dataset, _held_back(dataset, split), 5000)):
        experiment = build_experiment(clocked, dataset=data, progress=False)
        table = build_cloud(experiment).publish()
        work = device_work(clocked, "mlp", table=table, profile=profile_shape(data.user_columns))
        items = ItemTensors(*map(tf.constant, item_tensors(table)))
        (device,) = prepare_devices(
            experiment.groups[:1],
            items=items,
            block_sizes=work.block_sizes,
            features=work.features,
            samples=clocked.samples,
            with_slots=False,
            seed=3,
        ).devices
        samples.append(device)
        spec = work.exchange
        uplink = work.answer(
            tf.constant(work.model.layout.initial(0)),
            noise_seed=tf.constant(0),
            items=items,
            data=DeviceData(*map(tf.constant, device)),
            downlink=Downlink(
                spec.coder.encode(tf.fill([1, spec.cloud_dim], 0.5)),
                tf.range(1, 1 + spec.num_queries)[None],
            ),
        )
        answers.append(b"".join(part.numpy().tobytes() for part in tf.nest.flatten(uplink)))
    assert answers[0] == answers[1]
    # What a device trains on did change, in its features alone.
    differing = [
        name
        for name in DeviceData._fields
        if not np.array_equal(getattr(samples[0], name), getattr(samples[1], name))
    ]
    assert differing == ["features"]


def test_canaries_on_the_devices_do_not_reach_the_cloud(dataset, split, config):
    """A word in the profiles, and an item that occurs in recent interactions only."""
    canary = dataset.num_items
    mask = _held_back(dataset, split)
    known = ~mask & (dataset.items == canary)
    planted = _with_other_profiles(_with_items(_with_items(dataset, known, 1), mask, canary))
    other = leave_one_out(planted)
    made, table = _products(planted, other, config)
    everything = b"".join(made.values()) + repr(cloud_view(planted, other)).encode()
    assert b"CANARY" not in everything
    # To the cloud the item is one that nobody ever touched.
    for block in table.blocks:
        # In the learned block such an item keeps its random start; that nothing else shows
        # in it, `test_the_cloud_does_not_depend_on_anything_federated` compares.
        if block.name in ("preference", "sequence"):
            np.testing.assert_allclose(block.source[canary], 0.0, atol=1e-6)
            np.testing.assert_allclose(block.target[canary], 0.0, atol=1e-6)
    assert table.attributes[canary, 0] == table.attributes[1:, 0].min()
    # The devices do hold both, so the canaries could have been found.
    device = device_view(planted, other, int(other.users[0]))
    assert "CANARY" in repr(device)
    assert canary in device.recent


def test_a_federated_column_has_no_way_to_the_cloud(dataset, split, config):
    view = cloud_view(dataset, split)
    gender = dataset.user_columns[0]
    with pytest.raises(PrivacyError, match="gender"):
        dataclasses.replace(view, users=CentralizedTable(dataset.schema, (gender,)))
    forged = EncodedColumn(
        Column("gender", "user", Side.CENTRALIZED, Kind.CATEGORICAL),
        gender.values,
        gender.vocabulary,
    )
    with pytest.raises(PrivacyError, match="gender"):
        CentralizedTable(dataset.schema, (forged,))
    device = device_view(dataset, split, int(split.users[0]))
    with pytest.raises(PrivacyError):
        dataclasses.replace(view, users=device.profile)
    for wrong in (dataset, device):
        assert not isinstance(wrong, CloudView)
        with pytest.raises(PrivacyError, match="CloudView"):
            CloudRecommender(
                wrong,
                config.cloud,
                features=config.features,
                edge_dim=3,
                num_queries=4,
                seed=0,
            )
