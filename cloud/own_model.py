"""What custom clouds have in common: tasks, a slow copy for downlinks, names of variables."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy.typing as npt
import tensorflow as tf
import tensorflow_recommenders as tfrs

from cloud.exchange_model import ExchangeModel, ExchangeSizes
from cloud.ranker import RankerCloud
from cloud.tower_inputs import TowerInputs
from cloud.two_tower import Feature, TwoTowerCloud
from ecct_tf.errors import ConfigError
from ecct_tf.plugins import guarded

__all__ = [
    "OwnModel",
    "Untracked",
    "assign_all",
    "call_model",
    "constants",
    "layers_of",
    "refuse_random",
    "refuse_unknown",
]


class OwnModel(ExchangeModel):
    """Keras models that somebody described, as parts of the model of an exchange.

    Variables are named by their place in the parts, since Keras names layers by what was built
    before them. A subclass says what its parts are, and calls `copy_for_downlinks`,
    `try_tasks` and `check_tables` once they answer.

    Args:
      described: the models, tasks, optimiser and tables.
      sizes: how uplinks are taken in.
      what: names the cloud in messages.
    """

    def __init__(
        self, described: TwoTowerCloud | RankerCloud, sizes: ExchangeSizes, *, what: str
    ) -> None:
        super().__init__()
        self.spec = sizes
        self._what = what
        self._described = described
        self._tables = Untracked({})
        self._tasks = Untracked(described.weighted_tasks)
        for task, _ in self._tasks.value:
            loss: Any = getattr(task, "_loss", None)
            if getattr(loss, "reduction", None) in ("auto", "sum_over_batch_size"):
                # The mean is taken here, since Keras refuses its own within a
                # `tf.distribute.Strategy`.
                loss.reduction = tf.keras.losses.Reduction.NONE

    @property
    def parts(self) -> dict[str, Any]:
        """The Keras models by the names of their variables; downlinks are made by the first."""
        raise NotImplementedError  # a subclass brings it

    @property
    def tables(self) -> Mapping[str, str] | None:
        """Of each variable with a row a user, item or value, by name: whose rows they are."""
        found: dict[str, str] = self._tables.value
        return found

    @property
    def _learned(self) -> list[tf.Variable]:
        variables: list[tf.Variable] = next(iter(self.parts.values())).variables
        return variables

    def copy_for_downlinks(self) -> None:
        """Makes a copy of the first part, which follows slowly.

        Weights that are out on devices were trained to read what it says.
        """
        self._sent = [
            tf.Variable(found, trainable=False, name=f"sent_{place}")
            for place, found in enumerate(self._learned)
        ]

    @contextlib.contextmanager
    def as_sent(self) -> Iterator[None]:
        """Lets the copy take the place of the first part."""
        learned = [tf.identity(found) for found in self._learned]
        try:
            assign_all(self._learned, self._sent)
            yield
        finally:
            assign_all(self._learned, learned)

    def follow(self, rate: float) -> None:
        """Moves what downlinks are made with towards what was learned, by the share `rate`."""
        for new, old in zip(self._learned, self._sent, strict=True):
            if rate == 1.0 or not old.dtype.is_floating:
                old.assign(new)
            else:
                old.assign_add(rate * (new - old))

    def task_loss(self, users: tf.Tensor, items: tf.Tensor, labels: tf.Tensor, **given: Any) -> Any:
        """The weighted sum of the tasks' losses, each a mean over its rows: `[] float32`.

        Args:
          users: `[n, d_c] float32`; a `Retrieval` task alone reads them.
          items: `[n, c] int32`, likewise.
          labels: `[n, c] float32`.
          given: `vectors` `[n, c, d_c]` of the items, and `logits`, `[n, c]` or a function that
            computes them.
        """
        loss = tf.constant(0.0)
        for task, weight in self._tasks.value:
            if isinstance(task, tfrs.tasks.Retrieval):
                found = task(users, given["vectors"][:, 0], candidate_ids=items[:, 0])
            else:
                found = task(labels=labels, predictions=given["logits"]())
            if getattr(task, "trainable_weights", ()):
                raise ConfigError(
                    f"{self._what}: expected tasks without weights of their own, which nothing "
                    f"would store, got {type(task).__name__} with {len(task.trainable_weights)}; "
                    f"put them into a {'ranker' if self.sends_rows else 'tower'}"
                )
            rows, cells = tf.shape(items)[0], tf.size(labels)
            loss += weight * mean_loss(found, task, rows=rows, cells=cells)
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

    def more_variables(self) -> dict[str, list[tf.Variable]]:
        """Variables of a subclass beside its parts, by the names that they get."""
        return {}

    def named_variables(self) -> dict[str, tf.Variable]:
        """All variables of the model, by their place in its parts."""
        fusion = [*self.fusion_gate.variables, *self.fusion_mean.variables, self.fusion_scale]
        parts = {
            **{name: model.variables for name, model in self.parts.items()},
            "fusion": fusion,
            "sent": self._sent,
            **self.more_variables(),
        }
        named: dict[str, tf.Variable] = {}
        for part, variables in parts.items():
            known = {id(found) for found in named.values()}
            # What parts share is the first one's.
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
        """Preprocessing layers take what they adapted to from the variables."""
        for model in self.parts.values():
            for layer in layers_of(model):
                if callable(getattr(layer, "finalize_state", None)):
                    layer.finalize_state()

    def try_tasks(self) -> None:
        """Calls the tasks once, so that their errors come before any training."""
        tasks = [task for task, _ in self._tasks.value]
        modules = [getattr(task, "__module__", None) for task in tasks]
        own = [name for name in modules if name and not name.startswith("tensorflow")]
        items = tf.ones([2, 2], tf.int32)
        labels = tf.constant([[1.0, 0.0], [1.0, 0.0]])
        with guarded(f"{self._what}: its task", module=next(iter(own), None)):
            self.label_loss(self.user_vectors(items[:, 0], None), items, labels)
            for task in tasks:
                for metric in getattr(task, "metrics", ()):
                    metric.reset_state()

    def check_tables(self, inputs: TowerInputs, **more: str) -> None:
        """Takes the declared tables, and `more` of the subclass's own.

        Raises:
          ConfigError: one has other rows than what it is for, or is no variable of the parts.
        """
        sizes = table_sizes(inputs)
        names = {id(found): name for name, found in self.named_variables().items()}
        places = {id(found): place for place, found in enumerate(self._learned)}
        found: dict[str, str] = {}
        for entity, given in self._described.tables.items():
            where = f"{self._what}: tables[{entity!r}]"
            if entity not in sizes:
                raise ConfigError(f"{where}: expected one of {', '.join(sizes)}")
            for variable in variables_of(given):
                if id(variable) not in names:
                    whose = "ranker" if self.sends_rows else "towers"
                    raise ConfigError(
                        f"{where}: expected layers or variables of the {whose}, got {given!r}"
                    )
                if variable.shape[0] != sizes[entity]:
                    raise ConfigError(
                        f"{where}: expected {sizes[entity]} rows, as the feature has in `size`, "
                        f"got a variable of shape {tuple(variable.shape)}"
                    )
                found[names[id(variable)]] = entity
                if id(variable) in places:
                    found[f"sent/{places[id(variable)]}"] = entity
        self._tables = Untracked({**found, **more})


class Untracked:
    """Keeps Keras from taking `value` for a part of the model."""

    def __init__(self, value: Any) -> None:
        self.value = value


def constants(rows: Mapping[str, npt.NDArray[Any]]) -> dict[str, tf.Tensor]:
    """Arrays by name as tensors."""
    return {name: tf.constant(values) for name, values in rows.items()}


def call_model(tower: Any, named: dict[str, tf.Tensor], *, training: bool) -> tf.Tensor:
    """The tower's answer; one of Keras's functional form gets the inputs that it names."""
    declared = getattr(tower, "input", None) if hasattr(tower, "_nested_inputs") else None
    if isinstance(declared, Mapping):
        named = {name: named[name] for name in declared if name in named}
    return tower(named, training=training)


def refuse_unknown(tower: Any, rows: Mapping[str, Any], *, what: str) -> None:
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


def mean_loss(loss: tf.Tensor, task: Any, *, rows: tf.Tensor, cells: tf.Tensor) -> tf.Tensor:
    """What a task answers as a mean, whatever way its loss adds up the rows."""
    reduction = getattr(getattr(task, "_loss", None), "reduction", "auto")
    if reduction == "sum":
        count = rows if isinstance(task, tfrs.tasks.Retrieval) else cells
        return tf.reduce_sum(loss) / tf.cast(count, tf.float32)
    return tf.reduce_mean(loss)


def assign_all(variables: list[tf.Variable], values: list[Any]) -> None:
    """Assigns each variable its value."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def layers_of(tower: Any) -> Iterator[Any]:
    """All layers of a Keras model, those within layers too."""
    yield from tower._flatten_layers()


def refuse_random(tower: Any, *, what: str) -> None:
    """Refuses a model with layers that draw random numbers."""
    for layer in layers_of(tower):
        if any(kind.__name__ == "BaseRandomLayer" for kind in type(layer).__mro__):
            raise ConfigError(
                f"{what}: layer {layer.name!r} ({type(layer).__name__}) draws random numbers that "
                "no checkpoint holds, so that a resumed run would not repeat; regularise by "
                "weights (kernel_regularizer, embeddings_regularizer) instead"
            )


def table_sizes(inputs: TowerInputs) -> dict[str, int]:
    """Rows of a table, by what it may have a row for."""

    def sized(features: Mapping[str, Feature]) -> dict[str, int]:
        return {name: each.size for name, each in features.items() if each.size}

    sizes = sized(inputs.queries) | sized(inputs.candidates)
    users, items = sizes.pop("user_id"), sizes.pop("item_id")
    sizes.pop("history")
    return {"user": users, "item": items, **sizes}


def variables_of(given: Any) -> list[tf.Variable]:
    """The variables that layers, variables, or lists of them stand for."""
    if isinstance(given, list | tuple):
        return [found for each in given for found in variables_of(each)]
    if isinstance(given, tf.keras.layers.Layer):
        return list(given.weights[:1])
    return [given]
