"""The cloud side as one object: fits the model, publishes the item table, serves and learns."""

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cloud.batches import CloudBatches
from cloud.best_items import ranked_items
from cloud.best_products import IN_ONE_PIECE, BestProducts
from cloud.chunks import in_chunks, users_at_once
from cloud.divergence import check_learned
from cloud.edge_knowledge import edge_knowledge
from cloud.features import CloudPositions, no_positions
from cloud.growth import grow_snapshot, grow_tables, item_weights
from cloud.held_out import HeldOut, hold_out
from cloud.influence import bounded_answers
from cloud.input_space import InputSpace, build_input_space
from cloud.item_tables import model_table
from cloud.moments import own_positions, with_moments
from cloud.own_clouds import tower_parts
from cloud.parts import built_in_parts
from cloud.queries import Guesses, guesses_of_logits, queries_of
from cloud.ranker import RankerCloud
from cloud.snapshots import check_fits, with_sent_tower
from cloud.two_tower import CloudSpec, TwoTowerCloud
from cloud.user_states import UserStates
from ecct_tf.config import CloudConfig, FeatureConfig
from ecct_tf.config.cloud_names import BUILT_IN_CLOUD
from ecct_tf.data import CloudView
from ecct_tf.errors import DataError, PrivacyError
from ecct_tf.knowledge import CloudRows, ItemTable, KnowledgeStore

__all__ = ["CloudRecommender"]

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]

_log = logging.getLogger(__name__)


class CloudRecommender:
    """A cloud recommender over one `CloudView`.

    It implements `ecct_tf.federated.Cloud`: everything it holds comes from the view and
    from uplinks.
    """

    def __init__(
        self,
        view: CloudView,
        config: CloudConfig,
        *,
        features: FeatureConfig,
        edge_dim: int,
        num_queries: int,
        seed: int,
        space: InputSpace | None = None,
        states: Array | UserStates | None = None,
        positions: Callable[[], CloudPositions] | None = None,
        builder: Callable[[CloudSpec], TwoTowerCloud | RankerCloud] | None = None,
        held_out_share: float = 0.0,
    ) -> None:
        """Computes the item-to-item embeddings and builds the untrained model.

        Args:
          view: the cloud's side of the data.
          config: the model and its training.
          features: how devices pool histories.
          edge_dim: d_e, width of the edge's embeddings.
          num_queries: Q, items that a device is asked about at once.
          seed: from which all randomness derives.
          space: the input space of an earlier recommender, for the same items; by default it
            is computed from the view.
          states: `[users, s] float32`, the user tower's inputs, from `states` of an earlier
            recommender of the same view; by default they are computed from it.
          positions: gives the labelled positions of the library's own cloud; by default they are
            computed from the view when it learns.
          builder: of the towers, where `config.model` names a custom cloud; None imports it.
          held_out_share: of its labelled positions, how many stay out of all training, for a
            `GuardedCloud` to judge by.

        Raises:
          PrivacyError: when `view` is anything but a `CloudView`.
          DataError: when `space` has other items than `view`.
          ConfigError: a downlink has fewer rows than items that it asks about.
        """
        if not isinstance(view, CloudView):
            raise PrivacyError(
                f"CloudRecommender: expected a CloudView, got {type(view).__name__}, which may "
                "hold what the cloud must not see; build the view with cloud_view"
            )
        self.config = config
        self._num_queries = num_queries
        self._held_out_share = held_out_share
        self._published = False
        self._view = view
        self._seed = seed
        self._features = features
        space = space or build_input_space(view, config, features=features, seed=seed)
        if space.num_items != view.num_items:
            raise DataError(
                f"the input space has {space.num_items} items and the view {view.num_items}; "
                "grow the space to the view's items first"
            )
        self.space = space
        self._edge_dim = edge_dim
        if config.model == BUILT_IN_CLOUD:
            self._parts = built_in_parts(
                view,
                config,
                space=space,
                edge_dim=edge_dim,
                seed=seed,
                states=states,
                positions=positions,
            )
        else:
            self._parts = tower_parts(
                view,
                config,
                space=space,
                features=features,
                edge_dim=edge_dim,
                seed=seed,
                builder=builder,
            )
        self.model, self.states = self._parts.model, self._parts.states
        self._ranked = ranked_items(
            view, self.model, states=self.states, config=config, num_queries=num_queries
        )
        self._compile()

    def _compile(self) -> None:
        optimizer = self.model.new_optimizer(self.config.learning_rate)
        # Its slots exist from now on, so that a snapshot before the first step has them too.
        optimizer.build(self.model.trainable_variables)
        self.model.compile(optimizer)

    @functools.cached_property
    def batches(self) -> CloudBatches:
        """What the model learns from."""
        positions, _ = self._positions
        return CloudBatches(self._view, self.config, positions, self.states, self._edge_dim)

    @property
    def held_out(self) -> HeldOut:
        """Positions that no training sees; empty without `held_out_share`."""
        _, held = self._positions
        return held

    @functools.cached_property
    def _positions(self) -> tuple[CloudPositions, HeldOut]:
        share = self._held_out_share
        if not len(self._view.older.items):
            positions = no_positions(self.states)
        else:
            positions = self._parts.positions()
        return hold_out(positions, self._view, share=share, seed=self._seed)

    @property
    def _has_labels(self) -> bool:
        """Whether it learns from labelled positions: not where devices hold all interactions."""
        return self.config.label_visibility == "both" and len(self._view.older.items) > 0

    @property
    def user_columns(self) -> Array:
        """`[users, c] float32`, the users' categories, as `space.user_categories` names them."""
        return self._parts.user_columns

    @property
    def num_queries(self) -> int:
        """Q, items that a device is asked about in each round."""
        return self._num_queries

    @property
    def embedding_dim(self) -> int:
        """d_c, width of the cloud embedding."""
        return self.model.width

    def fit(self) -> list[float]:
        """Trains on the cloud's own view, before any exchange; the loss of each epoch.

        With `label_visibility: edge_only`, or a view without interactions, there are no labels to
        learn from, and the model stays the linear item-item model that its towers start as.
        """
        if not self._has_labels:
            return []
        epochs = self.config.fit_epochs
        losses = []
        for epoch in range(epochs):
            data = self.batches.labelled(np.random.default_rng([self._seed, 1, epoch]))
            history = self.model.fit(data, epochs=1, verbose=0)
            losses.append(float(history.history["loss"][-1]))
            self._check_finite(losses[-1], f"epoch {epoch + 1} of the fit before the first round")
            self._log_measured(f"the cloud's fit, epoch {epoch + 1}")
        if losses:
            _log.info(
                "cloud fitted on %d positions, loss %s", len(self.batches.positions.users), losses
            )
        return losses

    def freeze(self) -> None:
        """Ends the learning of the item side, as `publish` does; a second call does nothing."""
        if not self._published:
            self.model.freeze_items()
            self.model.follow(1.0)
            self._compile()
            self._published = True

    def publish(self) -> ItemTable:
        """The item table of this version of the cloud, which devices fetch once.

        From here on the item side stays as published: the user embeddings of later
        downlinks must fit the item embeddings that devices hold. The user side and the
        fusion go on learning. A cloud that sends rows publishes no embeddings of items, and all
        of it goes on learning.
        """
        self.freeze()
        table = model_table(self.space, self.model, features=self._features)
        return with_moments(
            table,
            own_positions(self._view, features=self._features, seed=self._seed),
            features=self._features,
            logits=lambda users, items: self.scores(users, items, knowledge=None, round_number=0),
        )

    def user_embeddings(
        self, users: Ids, *, knowledge: KnowledgeStore | None, round_number: int
    ) -> Array:
        """`u` of `h_c = u ⊙ v` for `users` `[n] int32`: `[n, d_c] float32`.

        Of a cloud that sends rows, the weights of `h_c` in `z_c` that uplinks add.

        Args:
          users: whose.
          knowledge: the uplinks to fuse, or None for the cloud's own view alone.
          round_number: the present round, from which staleness counts.
        """

        def vectors(rows: Ids) -> Array:
            found = self._users(rows, knowledge=knowledge, round_number=round_number)
            made: Array = (found.weights if self.model.sends_rows else found).numpy()
            return made

        return in_chunks(vectors, users)

    def _users(self, users: Ids, *, knowledge: KnowledgeStore | None, round_number: int) -> Any:
        """Users as the model scores with them."""
        fused = None
        if knowledge is not None:
            half_life = self.config.staleness_half_life
            fused = edge_knowledge(knowledge, users, round_number=round_number, half_life=half_life)
        return self.model.user_vectors(self.states[users], fused)

    def downlinks(self, users: Ids, *, round_number: int) -> Array | CloudRows:
        """`u` as downlinks carry it, for `users` `[n] int32`: `[n, d_c] float32`.

        From a cloud that sends rows, those of items that it chose by its own view (`RankedItems`).

        As of publication, and following what the cloud learns by `cloud.downlink_rate` an
        update: weights on devices, of this round or of weeks ago, were trained to read it. No
        uplink is fused in: a device that got its own knowledge back would meet, in its training
        positions, an answer that it gave away itself. Of `u` the round does not matter.
        """
        if self._ranked is not None:
            asked = self.queries(users, round_number=round_number)
            return self._ranked.rows(users, asked=asked)
        return in_chunks(lambda rows: self.model.sent_vectors(self.states[rows]).numpy(), users)

    def scores(
        self,
        users: Ids,
        candidates: Ids,
        *,
        knowledge: KnowledgeStore | None,
        round_number: int,
    ) -> Array:
        """`z_c` for `candidates` `[n, c] int32` of `users` `[n] int32`: `[n, c] float32`."""

        def logits(rows: Ids, items: Ids) -> Array:
            found = self._users(rows, knowledge=knowledge, round_number=round_number)
            made: Array = self.model.served(found, items).numpy()
            return made

        return in_chunks(logits, users, candidates)

    def queries(self, users: Ids, *, round_number: int) -> Ids:
        """Items to ask devices about, `[n, Q] int32`: best guesses and uniform ones.

        Drawn from the catalog without the history that the cloud knows; nothing that a
        device did recently can influence the choice.
        """
        guesses, step = self._guesses(round_number=round_number)
        return in_chunks(
            lambda rows: queries_of(
                rows,
                guesses=guesses,
                view=self._view,
                size=self._num_queries,
                top_share=self.config.query_top_share,
                seed=(self._seed, 2, round_number),
            ),
            users,
            size=step,
        )

    def _guesses(self, *, round_number: int) -> tuple[Guesses, int]:
        """The best guesses by the cloud's own view, and for how many users they are made at once.

        Small catalogs are scored whole; of large ones the same items come in another order.
        """
        few = users_at_once(self._view.num_items)
        if self._ranked is not None:
            return guesses_of_logits(self._ranked.logits), few
        everything = np.arange(1, self._view.num_items + 1, dtype=np.int32)
        items = self.model.item_vectors(everything).numpy()
        biases = self.model.item_logits(everything).numpy()

        def vectors(users: Ids) -> Array:
            return self.user_embeddings(users, knowledge=None, round_number=round_number)

        if self._view.num_items > IN_ONE_PIECE:
            best = BestProducts(items, biases)
            return lambda users, known, count: best.of(
                vectors(users), closed=known, count=count
            ), users_at_once(0)

        def logits(users: Ids) -> Array:
            found: Array = vectors(users) @ items.T
            found += biases
            return found

        return guesses_of_logits(logits), few

    def update(
        self, knowledge: KnowledgeStore, *, round_number: int, use_logits: bool
    ) -> dict[str, float]:
        """Learns from the uplinks: fusion from embeddings, distillation from logits.

        Args:
          knowledge: the store after this round.
          round_number: the present round.
          use_logits: whether stage 2 has begun.

        Returns:
          The mean loss of the update, or nothing when there was nothing to learn from.

        Raises:
          DivergenceError: when weights or loss are not finite afterwards.
        """
        rng = np.random.default_rng([self._seed, 3, round_number])
        heard = bool((knowledge.rounds >= 0).any())
        labelled = heard and self._has_labels
        taught = use_logits and self.config.distillation_weight > 0
        taught = taught and bool((knowledge.logit_rounds >= 0).any())
        if not (labelled or taught) or not self.config.update_epochs:
            return {}
        knowledge, weights = bounded_answers(knowledge, self.config, round_number=round_number)
        losses = []
        for _ in range(self.config.update_epochs):
            data = self.batches.update(
                rng,
                knowledge,
                round_number=round_number,
                labelled=labelled,
                taught=taught,
                answer_weights=weights,
            )
            losses.append(float(self.model.fit(data, epochs=1, verbose=0).history["loss"][-1]))
            self._check_finite(losses[-1], f"its update in round {round_number + 1}")
        self._log_measured(f"the cloud's update of round {round_number + 1}")
        self.follow()
        return {"cloud_loss": float(np.mean(losses))}

    def follow(self) -> None:
        """Lets downlinks take on the configured share of what the user tower has learned."""
        self.model.follow(self.config.downlink_rate)

    def _log_measured(self, when: str) -> None:
        measured = self.model.measured()
        if measured:
            _log.info("%s: %s", when, ", ".join(f"{k} {v:.4f}" for k, v in measured.items()))

    def _check_finite(self, loss: float, when: str) -> None:
        names = ("learning_rate", "l2", "distillation_weight")
        check_learned(
            self.model.trainable_variables,
            loss=loss,
            when=f"the cloud, in {when}",
            settings={f"cloud.{name}": getattr(self.config, name) for name in names},
        )

    def variables(self) -> list[tf.Variable]:
        """All that learning changes, in a fixed order."""
        return list(self._variables().values())

    def snapshot(self) -> dict[str, Array]:
        """All that learning changes, by name: the model's variables and the optimiser's."""
        return {name: variable.numpy() for name, variable in self._variables().items()}

    def restore(self, snapshot: Mapping[str, Array]) -> None:
        """Goes back to a snapshot of this recommender, or of one built from the same view.

        Of a snapshot from before there was a user tower for downlinks alone, that tower is the
        user tower, with which downlinks were made then.

        Raises:
          CheckpointError: when the snapshot has other variables or other shapes.
        """
        variables = self._variables()
        snapshot = with_sent_tower(snapshot, variables)
        check_fits(snapshot, {name: tuple(found.shape) for name, found in variables.items()})
        for name, variable in variables.items():
            variable.assign(snapshot[name])
        self.model.restored()

    def grown(self, snapshot: Mapping[str, Array], *, space: InputSpace) -> dict[str, Array]:
        """A snapshot of a recommender with fewer users, items or values, with rows for the rest.

        Args:
          snapshot: its variables.
          space: its input space.

        Raises:
          ConfigError: a variable of a custom cloud should have grown and is in no table.
        """
        tables = self.model.tables
        if tables is None:
            return grow_snapshot(snapshot, space=space, grown=self.space)
        fresh = {name: found.numpy() for name, found in self._variables().items()}
        return grow_tables(
            snapshot,
            fresh,
            tables={f"model/{name}": whose for name, whose in tables.items()},
            item_weights=item_weights(space, self.space.categories[space.num_items + 1 :]),
            model=self.config.model,
        )

    def _variables(self) -> dict[str, tf.Variable]:
        model = self.model
        named = {f"model/{name}": found for name, found in model.named_variables().items()}
        return named | {f"optimizer/{name}": found for name, found in model.named_slots().items()}
