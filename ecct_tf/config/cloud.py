"""Configuration of the cloud recommender."""

import dataclasses
from typing import Literal, get_args

from ecct_tf.config.checks import at_least, numbers, one_of, positive, within
from ecct_tf.config.cloud_names import BUILT_IN_CLOUD, check_cloud_form
from ecct_tf.errors import ConfigError

__all__ = ["CloudConfig", "ItemSimilarity", "LabelVisibility", "NextItemConfig", "SimilarityConfig"]

LabelVisibility = Literal["both", "edge_only"]
ItemSimilarity = Literal["auto", "dense", "factored"]


@dataclasses.dataclass(frozen=True)
class SimilarityConfig:
    """How item-to-item weights (EASE) are computed: by the cloud, and by the baselines `ease`.

    Attributes:
      form: `dense` inverts a matrix of items by items: exact, with 33 bytes for each pair of items
        and a time that grows with their cube. `factored` keeps the strongest directions of the
        item-item matrix: memory and time grow with the catalog. `auto` is `dense` up to
        `dense_items`.
      dense_items: the largest catalog for which `auto` is `dense`.
      factors: directions that `factored` keeps; it is exact with as many as there are users or
        items.
    """

    form: ItemSimilarity = "auto"
    dense_items: int = 5000
    factors: int = 512

    def __post_init__(self) -> None:
        numbers(self, "cloud.similarity")
        one_of(self, "cloud.similarity", "form", get_args(ItemSimilarity))
        at_least(self, "cloud.similarity", 1, "dense_items", "factors")

    def is_dense(self, num_items: int) -> bool:
        """Whether a catalog of `num_items` has its weights written out.

        >>> SimilarityConfig().is_dense(5000), SimilarityConfig().is_dense(5001)
        (True, False)
        """
        return self.form == "dense" or (self.form == "auto" and num_items <= self.dense_items)


@dataclasses.dataclass(frozen=True)
class NextItemConfig:
    """The learned item-to-item block that predicts the next item.

    Attributes:
      epochs: passes over the cloud's older interactions; 0 leaves the block out.
      min_steps: smallest number of batches to learn from, reached with more passes if there are few
        interactions, up to five times as many.
      rank: width of its embeddings.
      batch_size: positions in a batch.
      learning_rate: learning rate of Adam.
      dropout: share of a history's interactions that are left out of a position at random.
      weight_decay: strength of the decoupled weight decay on the embeddings.
      max_positions: positions in an epoch, drawn again for each, so a larger population does not
        make it longer.
      full_items: largest catalog in which the loss names the next item among all items.
      sampled_items: items that it is named among in a larger catalog, drawn again for each batch.
    """

    epochs: int = 6
    min_steps: int = 180
    rank: int = 32
    batch_size: int = 512
    learning_rate: float = 3e-3
    dropout: float = 0.3
    weight_decay: float = 0.02
    max_positions: int = 500_000
    full_items: int = 50_000
    sampled_items: int = 4096

    def __post_init__(self) -> None:
        numbers(self, "cloud.next_item")
        section = "cloud.next_item"
        at_least(self, section, 0, "epochs", "min_steps", "weight_decay", "full_items")
        at_least(self, section, 1, "rank", "batch_size", "max_positions", "sampled_items")
        positive(self, section, "learning_rate")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"{section}.dropout: expected a number in [0, 1), got {self.dropout}")


@dataclasses.dataclass(frozen=True)
class CloudConfig:
    """The cloud recommender and its training.

    Attributes:
      model: `ecct`, the library's own two towers; a name that an installed package registers, or
        `module:name` of your own (`docs/extend_cloud.md`), whose builder then decides how to use
        `free_dim`, `hidden_dim` and `l2`.
      rank: width of each item-to-item block.
      free_dim: columns of the cloud embedding that are learned freely; d_c is `2 * rank +
        free_dim`.
      regularization: regularisation strength λ of EASE.
      sequence_decay: "j came d steps after i" has the weight `sequence_decay**d`.
      hidden_dim: width of the user tower's hidden layer.
      fit_epochs: passes over the cloud's own positions before the first round. With 0 the towers
        enter the exchange as the closed-form item-to-item model.
      update_epochs: passes over the uplinks in each round.
      update_users: users to learn from in a pass, drawn again for each pass from all who ever sent
        an uplink, so an update does not grow with the population.
      batch_size: positions in a batch of `fit`.
      update_batch_size: users in a batch of a round's update.
      learning_rate: learning rate of Adam.
      negatives: number of negatives for each labelled position.
      tail: share of each older history that serves as labelled positions.
      l2: strength of the penalty that keeps the towers near the item-to-item model they start as.
      distillation_weight: λ_c, weight of the edge's logits in the cloud's loss (inferred).
      temperature: temperature T of the distillation (inferred).
      answer_ridge: penalty λ of the regression by which a user's logits move the user's embedding
        when the cloud serves that user; the larger, the smaller the effect. 0 leaves logits to the
        distillation (inferred).
      answers_kept: number of a user's newest uplinks whose logits take part in that regression.
      label_visibility: `both`, or `edge_only`: then the cloud never trains on labels and learns
        only from the edge's logits.
      staleness_half_life: rounds after which an uplink counts half.
      max_item_share: largest share of the training signal in a round's update that the answers
        about one item may have; 1 for no bound.
      answer_trim: share of an item's answers, from either end, that is pulled in to the nearest of
        the others before they train the cloud; 0.5 leaves their median. Items with fewer than 3
        answers are bounded by all answers.
      buffer: number of uplinks that must arrive before the cloud learns from the store again, as in
        buffered asynchronous aggregation; 0 to learn in each round.
      query_top_share: share of the queries taken from the cloud's best guesses; the rest
        is uniform over the catalog.
      rows: K, number of items for which a downlink has a row (`h_c` and `z_c`) if the model is a
        ranker whose score is not a product (`docs/extend_cloud.md`); at least as many as
        `exchange.queries`. Any other cloud sends a user embedding and ignores this.
      popular_rows: share of a downlink's rows, apart from those of queries, for the items with most
        older interactions; the others are the cloud's best guesses. Only for a ranker.
      downlink_rate: share of what the user tower has learned that downlinks take on after each
        update, in [0, 1]. With 0 they stay as first published, so weights on devices continue to
        read them as they were trained to; with 1 they use the newest user tower.
      guard_share: share of the labelled positions, at most one per user, held out of the cloud's
        training. If the devices' answers or an update make the cloud worse there by more than
        `guard_room`, beyond noise, they are not used. 0 for no guard; without labels there is none.
      guard_room: share of its NDCG@10 there that the cloud may lose.
      symmetric_preference: whether the preference block embeds an item once, as part of a history
        and as a candidate alike: "who likes i likes j" then counts as much as the reverse.
      item_places: whether the item table says how far into their histories users meet an item, as
        an attribute: the mean logarithm of its place there.
      similarity: how item-to-item weights are computed.
      next_item: the learned block of the item table.
    """

    model: str = BUILT_IN_CLOUD
    rank: int = 24
    free_dim: int = 8
    regularization: float = 400.0
    sequence_decay: float = 0.5
    hidden_dim: int = 64
    fit_epochs: int = 0
    update_epochs: int = 4
    update_users: int = 16384
    batch_size: int = 512
    update_batch_size: int = 128
    learning_rate: float = 1e-3
    negatives: int = 4
    tail: float = 0.3
    l2: float = 1e-3
    distillation_weight: float = 4.0
    temperature: float = 2.0
    answer_ridge: float = 0.5
    answers_kept: int = 6
    label_visibility: LabelVisibility = "both"
    staleness_half_life: float = 20.0
    max_item_share: float = 1.0
    answer_trim: float = 0.0
    buffer: int = 0
    query_top_share: float = 0.5
    rows: int = 64
    popular_rows: float = 0.25
    downlink_rate: float = 0.0
    guard_share: float = 0.1
    guard_room: float = 0.1
    symmetric_preference: bool = True
    item_places: bool = True
    similarity: SimilarityConfig = dataclasses.field(default_factory=SimilarityConfig)
    next_item: NextItemConfig = dataclasses.field(default_factory=NextItemConfig)

    def __post_init__(self) -> None:
        numbers(self, "cloud")
        check_cloud_form(self.model)
        at_least(
            self, "cloud", 1, "rank", "free_dim", "hidden_dim", "batch_size",
            "update_batch_size", "update_users", "negatives", "answers_kept", "rows",
        )  # fmt: skip
        at_least(
            self,
            "cloud",
            0,
            "fit_epochs",
            "update_epochs",
            "l2",
            "distillation_weight",
            "answer_ridge",
            "buffer",
        )
        positive(
            self, "cloud", "tail", "regularization", "learning_rate", "temperature",
            "staleness_half_life",
        )  # fmt: skip
        within(
            self, "cloud", 0.0, 1.0, "tail", "query_top_share", "sequence_decay", "downlink_rate",
            "guard_share", "guard_room", "popular_rows",
        )  # fmt: skip
        within(self, "cloud", 0.0, 0.5, "answer_trim")
        within(self, "cloud", 0.0, 1.0, "max_item_share")
        positive(self, "cloud", "max_item_share")
        one_of(self, "cloud", "label_visibility", ("both", "edge_only"))
        if self.model != BUILT_IN_CLOUD and not self.fit_epochs and self.label_visibility == "both":
            raise ConfigError(
                f"cloud.fit_epochs: expected at least 1 with cloud.model={self.model}, whose "
                "towers begin at random, got 0; set it to the passes that they need, such as 10"
            )

    @property
    def num_earlier(self) -> int:
        """Uplinks before the newest whose logits are kept: none where no regression reads them."""
        return self.answers_kept - 1 if self.answer_ridge else 0
