"""Where a job begins: the recommender it trains, from scratch or from a parent's weights."""

from cloud.growth import grow_knowledge, grow_space
from cloud.input_space import InputSpace, build_input_space
from cloud.recommender import CloudRecommender
from cloud.retraining.config import JobConfig
from cloud.version_files import StoredCloud
from ecct_tf.data import CloudView
from ecct_tf.errors import ConfigError
from ecct_tf.knowledge import KnowledgeStore

__all__ = [
    "begin",
    "build_recommender",
    "check_parent",
    "known_before",
    "revived",
    "starting_space",
]


def build_recommender(config: JobConfig, view: CloudView, *, space: InputSpace) -> CloudRecommender:
    """A recommender of `view` with the job's settings."""
    return CloudRecommender(
        view,
        config.cloud,
        features=config.features,
        edge_dim=config.exchange.embedding_dim,
        num_queries=config.exchange.queries,
        seed=config.seed,
        space=space,
    )


def starting_space(config: JobConfig, view: CloudView, parent: StoredCloud | None) -> InputSpace:
    """The input space to train in: computed from `view`, or the parent's with new items."""
    if parent is None:
        return build_input_space(view, config.cloud, features=config.features, seed=config.seed)
    return grow_space(parent.space, view)


def begin(
    config: JobConfig, view: CloudView, parent: StoredCloud | None, *, space: InputSpace
) -> CloudRecommender:
    """The recommender to train on `view`.

    Args:
      config: the job.
      view: what to train on, in the registry's numbers.
      parent: the version to go on from; None begins from scratch.
      space: its input space.
    """
    cloud = build_recommender(config, view, space=space)
    if parent is not None:
        parent.warn_of_changes()
        cloud.freeze()
        cloud.restore(cloud.grown(parent.snapshot, space=parent.space))
    return cloud


def revived(parent: StoredCloud, view: CloudView) -> CloudRecommender:
    """The recommender of `parent` as it would serve `view`, to compare with."""
    space = grow_space(parent.space, view)
    cloud = CloudRecommender(
        view,
        parent.config,
        features=parent.features,
        edge_dim=parent.edge_dim,
        num_queries=parent.num_queries,
        seed=parent.seed,
        space=space,
    )
    cloud.freeze()
    cloud.restore(cloud.grown(parent.snapshot, space=parent.space))
    return cloud


def check_parent(config: JobConfig, parent: StoredCloud) -> None:
    """Refuses to go on from a version that was made with other sizes.

    Raises:
      ConfigError: names the first setting that differs, and the way out.
    """
    sizes = (
        "model", "rank", "free_dim", "hidden_dim", "next_item", "symmetric_preference",
        "item_places",
    )  # fmt: skip
    pairs: list[tuple[str, object, object]] = [
        (f"cloud.{name}", getattr(config.cloud, name), getattr(parent.config, name))
        for name in sizes
    ]
    exchange = config.exchange
    pairs += [
        ("features", config.features, parent.features),
        ("exchange.queries", exchange.queries, parent.num_queries),
        ("exchange.embedding_dim", exchange.embedding_dim, parent.edge_dim),
    ]
    if parent.table.row_dim:
        # Devices hold files that read so many.
        pairs.append(("cloud.rows", config.cloud.rows, parent.config.rows))
    for name, own, theirs in pairs:
        if own != theirs:
            raise ConfigError(
                f"{name}: expected {theirs}, with which the promoted version was made, got "
                f"{own}; keep it, or use start=scratch"
            )


def known_before(
    config: JobConfig, parent: StoredCloud | None, *, num_users: int
) -> KnowledgeStore:
    """What the parent knew of the uplinks, with room for new users.

    Uplinks of another form than the job's cannot be fused: then nothing was known.
    """
    num_earlier = config.cloud.num_earlier
    if parent is None or (parent.num_queries, parent.edge_dim) != (
        config.exchange.queries,
        config.exchange.embedding_dim,
    ):
        return KnowledgeStore.empty(
            num_users=num_users,
            num_queries=config.exchange.queries,
            embedding_dim=config.exchange.embedding_dim,
            num_earlier=num_earlier,
            by_row=True,
        )
    return grow_knowledge(parent.knowledge.keeping(num_earlier), num_users=num_users)
