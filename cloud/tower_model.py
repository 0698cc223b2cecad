"""Two Keras towers of one's own as the model of an exchange."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_recommenders as tfrs

from cloud.exchange_model import ExchangeModel, ExchangeSizes
from cloud.growth import PUBLISHED_ITEMS
from cloud.tower_inputs import TowerInputs
from cloud.two_tower import Feature, TwoTowerCloud
from ecct_tf.errors import ConfigError
from ecct_tf.plugins import guarded

__all__ = ["TowerModel"]


class TowerModel(ExchangeModel):
    """The towers of a `TwoTowerCloud`, with fusion, distillation and a copy for downlinks.

    A state is a row number of `inputs.query_rows`. Variables are named by their place in the
    towers, since Keras names layers by what was built before them.

    Args:
      towers: the towers.
      sizes: how uplinks are taken in.
      inputs: the features.
      what: names the cloud in messages.

    Raises:
      ConfigError: the towers are none that an exchange can be made of.
    """

    def __init__(
        self, towers: TwoTowerCloud, sizes: ExchangeSizes, *, inputs: TowerInputs, what: str
    ) -> None:
        super().__init__()
        self.spec = sizes
        self._what = what
        self._described = towers
        self.query_tower, self.candidate_tower = towers.query_tower, towers.candidate_tower
        for name, tower in (("query", self.query_tower), ("candidate", self.candidate_tower)):
            if not isinstance(tower, tf.keras.Model):
                raise ConfigError(
                    f"{what}: expected a tf.keras.Model as {name}_tower, got {type(tower).__name__}"
                )
            _refuse_random(tower, what=f"{what}: {name}_tower")
            rows = inputs.query_rows if name == "query" else inputs.candidate_rows
            _refuse_unknown(tower, rows, what=f"{what}: {name}_tower")
        self._queries = _constants(inputs.query_rows)
        self._candidates = _constants(inputs.candidate_rows)
        self._tasks = _Untracked(towers.weighted_tasks)
        for task, _ in self._tasks.value:
            loss: Any = getattr(task, "_loss", None)
            if getattr(loss, "reduction", None) in ("auto", "sum_over_batch_size"):
                # The mean is taken here, since Keras refuses its own within a
                # `tf.distribute.Strategy`.
                loss.reduction = tf.keras.losses.Reduction.NONE
        self._published: tf.Variable | None = None
        width = self._checked_width()
        self.add_fusion(width)
        self.build_fusion(tf.zeros([1], tf.int32))
        self._try_tasks()
        # What downlinks are made with: a copy that follows the query tower slowly, since weights
        # that are out on devices were trained to read it.
        self._sent = [
            tf.Variable(found, trainable=False, name=f"sent_{place}")
            for place, found in enumerate(self.query_tower.variables)
        ]
        self._tables = self._checked_tables(inputs)

    @property
    def tables(self) -> Mapping[str, str] | None:
        """Of each variable with a row a user, item or value, by name: whose rows they are."""
        found: dict[str, str] = self._tables.value
        return found

    def item_vectors(self, items: tf.Tensor, *, training: bool = False) -> tf.Tensor:
        """`[...] int32` items to `[..., d_c] float32`, zeros for the padding.

        From publication on as published, whatever becomes of an item's columns: devices hold them.
        """
        if self._published is not None:
            return tf.gather(self._published, items)
        return self._tower_vectors(items, training=training)

    def _tower_vectors(self, items: tf.Tensor, *, training: bool = False) -> tf.Tensor:
        items = tf.convert_to_tensor(items, tf.int32)
        flat = tf.reshape(items, [-1])
        vectors = _call(
            self.candidate_tower,
            {name: tf.gather(rows, flat) for name, rows in self._candidates.items()},
            training=training and self.candidate_tower.trainable,
        )
        vectors *= tf.cast(flat > 0, vectors.dtype)[:, None]
        return tf.reshape(vectors, tf.concat([tf.shape(items), tf.shape(vectors)[-1:]], axis=0))

    def item_logits(self, items: tf.Tensor) -> tf.Tensor:
        """Zeros: a dot product says everything."""
        return tf.zeros(tf.shape(items))

    def user_alone(self, states: tf.Tensor, *, training: bool = False) -> tf.Tensor:
        """`u` of the cloud's own view, of row numbers `[n] int32`: `[n, d_c] float32`."""
        states = tf.convert_to_tensor(states, tf.int32)
        named = {name: tf.gather(rows, states) for name, rows in self._queries.items()}
        return _call(self.query_tower, named, training=training)

    def sent_vectors(self, states: tf.Tensor) -> tf.Tensor:
        """`u` as downlinks carry it; takes the tower's place for the moment."""
        learned = [tf.identity(found) for found in self.query_tower.variables]
        try:
            _assign(self.query_tower.variables, self._sent)
            return self.user_alone(states)
        finally:
            _assign(self.query_tower.variables, learned)

    def follow(self, rate: float) -> None:
        """Moves what downlinks are made with towards the query tower, by the share `rate`."""
        for new, old in zip(self.query_tower.variables, self._sent, strict=True):
            if rate == 1.0 or not old.dtype.is_floating:
                old.assign(new)
            else:
                old.assign_add(rate * (new - old))

    def freeze_items(self) -> None:
        """Ends the learning of the candidate tower, and of layers that it shares."""
        self.candidate_tower.trainable = False
        everything = tf.range(len(next(iter(self._candidates.values()))))
        self._published = tf.Variable(
            self._tower_vectors(everything), trainable=False, name="published"
        )

    def label_loss(
        self, users: tf.Tensor, items: tf.Tensor, labels: tf.Tensor, *, training: bool = False
    ) -> tf.Tensor:
        """The weighted sum of the tasks' losses, each a mean over its rows: `[] float32`."""
        vectors = self.item_vectors(items, training=training)
        loss = tf.constant(0.0)
        for task, weight in self._tasks.value:
            if isinstance(task, tfrs.tasks.Retrieval):
                found = task(users, vectors[:, 0], candidate_ids=items[:, 0])
            else:
                logits = tf.einsum("nd,ncd->nc", users, vectors)
                found = task(labels=labels, predictions=logits)
            if getattr(task, "trainable_weights", ()):
                raise ConfigError(
                    f"{self._what}: expected tasks without weights of their own, which nothing "
                    f"would store, got {type(task).__name__} with {len(task.trainable_weights)}; "
                    "put them into a tower"
                )
            loss += weight * _mean(found, task, rows=tf.shape(users)[0], cells=tf.size(labels))
        return loss

    def measured(self) -> dict[str, float]:
        """What the tasks' metrics say since they were last asked."""
        found = {}
        for task, _ in self._tasks.value:
            for metric in task.metrics:
                found[metric.name] = float(metric.result())
                metric.reset_state()
        return found

    def new_optimizer(self, learning_rate: float) -> Any:
        """An optimiser of the kind that the builder chose, which has not learned anything yet."""
        given = self._described.optimizer
        if given is None:
            return super().new_optimizer(learning_rate)
        if not hasattr(given, "build"):
            raise ConfigError(
                f"{self._what}: expected an optimiser of tf.keras.optimizers, got "
                f"{type(given).__module__}.{type(given).__name__}; its state cannot be stored"
            )
        return type(given).from_config(given.get_config())

    def named_variables(self) -> dict[str, tf.Variable]:
        """All variables of the model, by their place in its parts."""
        fusion = [*self.fusion_gate.variables, *self.fusion_mean.variables, self.fusion_scale]
        parts = {
            "query": self.query_tower.variables,
            "candidate": self.candidate_tower.variables,
            "fusion": fusion,
            "sent": self._sent,
            "published": [] if self._published is None else [self._published],
        }
        named: dict[str, tf.Variable] = {}
        for part, variables in parts.items():
            known = {id(found) for found in named.values()}
            # What the towers share is the query tower's.
            named |= {
                f"{part}/{place}": found
                for place, found in enumerate(variables)
                if id(found) not in known
            }
        return named

    def named_slots(self) -> dict[str, tf.Variable]:
        """All variables of the optimiser, by their place."""
        return {str(place): found for place, found in enumerate(self.optimizer.variables)}

    def restored(self) -> None:
        """Preprocessing layers take what they adapted to from the variables.

        Items that came after the snapshot, whose published rows are not numbers, get theirs from
        the tower.
        """
        for tower in (self.query_tower, self.candidate_tower):
            for layer in _layers(tower):
                if callable(getattr(layer, "finalize_state", None)):
                    layer.finalize_state()
        if self._published is not None:
            (new,) = np.nonzero(np.isnan(self._published.numpy()).any(axis=1))
            if len(new):
                rows = self._tower_vectors(tf.constant(new, tf.int32))
                self._published.scatter_nd_update(new[:, None], rows)

    def _checked_width(self) -> int:
        shapes = {}
        for name, tower, call, known in (
            ("query", self.query_tower, self.user_alone, self._queries),
            ("candidate", self.candidate_tower, self.item_vectors, self._candidates),
        ):
            hint = f"; the tower is given {', '.join(known)}: centralized columns alone"
            with guarded(f"{self._what}: {name}_tower", module=type(tower).__module__, hint=hint):
                vectors = call(tf.ones([2], tf.int32))
            if not tf.is_tensor(vectors) or vectors.shape.rank != 2 or vectors.shape[0] != 2:
                raise ConfigError(
                    f"{self._what}: expected {name}_tower to answer embeddings [n, d], got "
                    f"{getattr(vectors, 'shape', type(vectors).__name__)} for n=2"
                )
            if not np.isfinite(vectors.numpy()).all():
                raise ConfigError(
                    f"{self._what}: expected finite embeddings of {name}_tower, got others before "
                    "any training; look for a logarithm, a division or a scale of zero"
                )
            shapes[name] = int(vectors.shape[1])
        if shapes["query"] != shapes["candidate"]:
            raise ConfigError(
                f"{self._what}: expected towers of one width, got embeddings of "
                f"{shapes['query']} from query_tower and {shapes['candidate']} from candidate_tower"
            )
        return shapes["query"]

    def _try_tasks(self) -> None:
        """Calls the tasks once, so that what is wrong with them is told before any training."""
        tasks = [task for task, _ in self._tasks.value]
        modules = [getattr(task, "__module__", None) for task in tasks]
        own = [name for name in modules if name and not name.startswith("tensorflow")]
        items = tf.ones([2, 2], tf.int32)
        labels = tf.constant([[1.0, 0.0], [1.0, 0.0]])
        with guarded(f"{self._what}: its task", module=next(iter(own), None)):
            self.label_loss(self.user_alone(items[:, 0]), items, labels)
            for task in tasks:
                for metric in getattr(task, "metrics", ()):
                    metric.reset_state()

    def _checked_tables(self, inputs: TowerInputs) -> "_Untracked":
        sizes = _table_sizes(inputs)
        names = {id(found): name for name, found in self.named_variables().items()}
        places = {id(found): place for place, found in enumerate(self.query_tower.variables)}
        found: dict[str, str] = {}
        for entity, given in self._described.tables.items():
            where = f"{self._what}: tables[{entity!r}]"
            if entity not in sizes:
                raise ConfigError(f"{where}: expected one of {', '.join(sizes)}")
            for variable in _variables_of(given):
                if id(variable) not in names:
                    raise ConfigError(
                        f"{where}: expected layers or variables of the towers, got {given!r}"
                    )
                if variable.shape[0] != sizes[entity]:
                    raise ConfigError(
                        f"{where}: expected {sizes[entity]} rows, as the feature has in `size`, "
                        f"got a variable of shape {tuple(variable.shape)}"
                    )
                found[names[id(variable)]] = entity
                if id(variable) in places:
                    found[f"sent/{places[id(variable)]}"] = entity
        return _Untracked({**found, "published/0": PUBLISHED_ITEMS})


class _Untracked:
    """Keeps Keras from taking `value` for a part of the model."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _constants(rows: Mapping[str, npt.NDArray[Any]]) -> dict[str, tf.Tensor]:
    return {name: tf.constant(values) for name, values in rows.items()}


def _call(tower: Any, named: dict[str, tf.Tensor], *, training: bool) -> tf.Tensor:
    """The tower's answer; one of Keras's functional form gets the inputs that it names."""
    declared = getattr(tower, "input", None) if hasattr(tower, "_nested_inputs") else None
    if isinstance(declared, Mapping):
        named = {name: named[name] for name in declared if name in named}
    return tower(named, training=training)


def _refuse_unknown(tower: Any, rows: Mapping[str, Any], *, what: str) -> None:
    """Refuses a tower of Keras's functional form with inputs that stand for no feature.

    Keras would give it others, by their order.
    """
    if getattr(tower, "_nested_inputs", None) is None:
        return
    declared = list(tower.input) if isinstance(tower.input, Mapping) else tower.input_names
    unknown = [name for name in declared if name not in rows]
    if unknown:
        raise ConfigError(
            f"{what} has the input {unknown[0]!r}: expected inputs named as the features "
            f"{', '.join(rows)}, as spec.query_inputs and spec.candidate_inputs make them; the "
            "cloud has centralized columns alone, federated ones stay on their devices"
        )


def _mean(loss: tf.Tensor, task: Any, *, rows: tf.Tensor, cells: tf.Tensor) -> tf.Tensor:
    """What a task answers as a mean, whatever way its loss adds up the rows."""
    reduction = getattr(getattr(task, "_loss", None), "reduction", "auto")
    if reduction == "sum":
        count = rows if isinstance(task, tfrs.tasks.Retrieval) else cells
        return tf.reduce_sum(loss) / tf.cast(count, tf.float32)
    return tf.reduce_mean(loss)


def _assign(variables: list[tf.Variable], values: list[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _layers(tower: Any) -> Iterator[Any]:
    yield from tower._flatten_layers()


def _refuse_random(tower: Any, *, what: str) -> None:
    for layer in _layers(tower):
        if any(kind.__name__ == "BaseRandomLayer" for kind in type(layer).__mro__):
            raise ConfigError(
                f"{what}: layer {layer.name!r} ({type(layer).__name__}) draws random numbers that "
                "no checkpoint holds, so that a resumed run would not repeat; regularise by "
                "weights (kernel_regularizer, embeddings_regularizer) instead"
            )


def _table_sizes(inputs: TowerInputs) -> dict[str, int]:
    def sized(features: Mapping[str, Feature]) -> dict[str, int]:
        return {name: each.size for name, each in features.items() if each.size}

    sizes = sized(inputs.queries) | sized(inputs.candidates)
    users, items = sizes.pop("user_id"), sizes.pop("item_id")
    sizes.pop("history")
    return {"user": users, "item": items, **sizes}


def _variables_of(given: Any) -> list[tf.Variable]:
    """The variables that layers, variables, or lists of them stand for."""
    if isinstance(given, list | tuple):
        return [found for each in given for found in _variables_of(each)]
    if isinstance(given, tf.keras.layers.Layer):
        return list(given.weights[:1])
    return [given]
