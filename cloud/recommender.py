"""The cloud side as one object: fits the model, publishes the item table, serves and learns."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cloud.batches import CloudBatches
from cloud.best_guesses import product_guesses
from cloud.best_items import ranked_items
from cloud.chunks import in_chunks, users_at_once
from cloud.edge_knowledge import edge_knowledge
from cloud.features import CloudPositions, no_positions
from cloud.growth import grow_model
from cloud.held_out import HeldOut, hold_out
from cloud.input_space import InputSpace, build_input_space
from cloud.item_tables import model_table
from cloud.learning import fit_positions, learn_answers
from cloud.moments import own_positions, with_moments
from cloud.own_clouds import cloud_parts
from cloud.queries import Guesses, guesses_of_logits, queries_of
from cloud.ranker import RankerCloud
from cloud.snapshots import LastSnapshot, learned_variables, restore_model, snapshot_of
from cloud.two_tower import CloudSpec, TwoTowerCloud
from cloud.user_states import UserStates
from ecct_tf.config import CloudConfig, FeatureConfig
from ecct_tf.data import CloudView
from ecct_tf.errors import DataError, PrivacyError
from ecct_tf.knowledge import CloudRows, ItemTable, KnowledgeStore

__all__ = ["CloudRecommender"]

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]


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
        self._last_snapshot = LastSnapshot()
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
        self._parts = cloud_parts(
            view,
            config,
            space=space,
            features=features,
            edge_dim=edge_dim,
            seed=seed,
            states=states,
            positions=positions,
            builder=builder,
        )
        self.model, self.states = self._parts.model, self._parts.states
        self._ranked = ranked_items(
            view, self.model, states=self.states, config=config, num_queries=num_queries
        )
        if space.recent is not None and not self.model.sends_rows:
            known = space.recent[1:]
            scaled = (space.recent - known.mean()) / np.maximum(known.std(), 1e-6)
            self.model.recent = tf.constant(scaled, tf.float32)
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
        return fit_positions(self.model, self.batches, config=self.config, seed=self._seed)

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

        With answers, where devices told of recent popularity, `[n, d_c + 1]`, its weight last.

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
        """The best guesses by the cloud's own view, and for how many users to ask at once."""
        if self._ranked is not None:
            return guesses_of_logits(self._ranked.logits), users_at_once(self._view.num_items)
        everything = np.arange(1, self._view.num_items + 1, dtype=np.int32)
        return product_guesses(
            lambda users: self.user_embeddings(users, knowledge=None, round_number=round_number),
            items=self.model.item_vectors(everything).numpy(),
            biases=self.model.item_logits(everything).numpy(),
        )

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
        heard = bool((knowledge.rounds >= 0).any())
        labelled = heard and self._has_labels
        taught = use_logits and self.config.distillation_weight > 0
        taught = taught and bool((knowledge.logit_rounds >= 0).any())
        if not (labelled or taught) or not self.config.update_epochs:
            return {}
        mean_loss = learn_answers(
            self.model,
            self.batches,
            knowledge,
            config=self.config,
            seed=self._seed,
            round_number=round_number,
            labelled=labelled,
            taught=taught,
        )
        self.follow()
        return {"cloud_loss": mean_loss}

    def follow(self) -> None:
        """Lets downlinks take on the configured share of what the user tower has learned."""
        self.model.follow(self.config.downlink_rate)

    def variables(self) -> list[tf.Variable]:
        """All that learning changes, in a fixed order."""
        return list(learned_variables(self.model).values())

    def snapshot(self) -> dict[str, Array]:
        """All that learning changes, by name: the model's variables and the optimiser's.

        Large ones cannot be written to: where they did not change, the last snapshot has them too.
        """
        return self._last_snapshot.shared_with(snapshot_of(self.model))

    def restore(self, snapshot: Mapping[str, Array]) -> None:
        """Goes back to a snapshot of this recommender, or of one built from the same view.

        Of a snapshot from before there was a user tower for downlinks alone, that tower is the
        user tower, with which downlinks were made then.

        Raises:
          CheckpointError: when the snapshot has other variables or other shapes.
        """
        restore_model(self.model, snapshot)

    def grown(self, snapshot: Mapping[str, Array], *, space: InputSpace) -> dict[str, Array]:
        """A snapshot of a recommender with fewer users, items or values, with rows for the rest.

        Args:
          snapshot: its variables.
          space: its input space.

        Raises:
          ConfigError: a variable of a custom cloud should have grown and is in no table.
        """
        return grow_model(
            snapshot,
            self.snapshot(),
            tables=self.model.tables,
            space=space,
            grown=self.space,
            model=self.config.model,
        )
