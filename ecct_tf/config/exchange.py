"""Configuration of the exchange, the server and what computes the rounds."""

import dataclasses
from typing import Literal, get_args

from ecct_tf.config.aggregator_names import MEAN, check_aggregator_form
from ecct_tf.config.candidate_rows import CandidateRowsConfig
from ecct_tf.config.checks import at_least, numbers, one_of, positive
from ecct_tf.config.codec_names import CODECS, CodecName, check_codec_name, is_own_codec
from ecct_tf.config.increments import IncrementConfig
from ecct_tf.config.item_sums import ItemSumConfig
from ecct_tf.config.part_names import check_name_form
from ecct_tf.config.recent_popularity import RecentPopularityConfig
from ecct_tf.config.table_names import AUTO, check_table_form
from ecct_tf.config.worker_addresses import check_workers
from ecct_tf.errors import ConfigError

__all__ = [
    "CODECS",
    "AnswerBy",
    "CodecName",
    "EngineName",
    "ExchangeConfig",
    "ItemsName",
    "RowsName",
    "RuntimeConfig",
    "ServerConfig",
    "check_table_codec",
]

EngineName = Literal["tff", "local"]
ItemsName = Literal["table", "candidates"]
RowsName = Literal["user", "item"]
AnswerBy = Literal["place", "item"]


@dataclasses.dataclass(frozen=True)
class ExchangeConfig:
    """What crosses between a device and the cloud, and how.

    Attributes:
      items: how devices hold the items: `table`, the whole table; `candidates`, rows that the cloud
        chose for each user (`candidates`), so a device does not grow with the catalog.
      rows: form in which the devices' answers reach the cloud: `user`, a row for each user; `item`,
        only sums over all devices of their answers about an item (`item_sums`), from which the
        cloud makes the rows it learns from.
      codec: codec of embeddings and logits in both directions, and of the item table unless
        `item_table` says otherwise: `float32`, `float16`, `int8`, a name that an installed package
        registers, or `module:name` of a function that returns a `RowCodec`
        (`docs/extend_codec.md`), which writes no item tables.
      item_table: format of the item table: `float32`, `float16`, `int8`, `int4`, `compact` (the
        values of `int4` in fewer bytes), the product codes `pq2`, `pq4` and `pq8` (two, four or
        eight values in a byte), `fine` (three) and `lean` (as many as each section bears), a name
        that an installed package registers, or `module:name` of a function that returns a
        `TableCodec`; `auto` for `compact`, above 20,000 items `fine`, with the codecs `float32` and
        `float16` and with `items=candidates` the one of `codec`; null always for that.
      weights_codec: codec of the shared weights, if there are any: `float32`, `float16`, or one as
        in `codec`.
      down: whether devices get the cloud's knowledge. Without it they still hold the item
        table (an ablation).
      up: whether the cloud asks devices and learns from their answers (an ablation).
      logits: whether logits ever cross. Without them every round exchanges embeddings only (an
        ablation).
      embeddings: whether embeddings are fused. Without them (an ablation) uplinks carry logits
        alone, and devices read of a downlink only `z_c`.
      stage_1_rounds: rounds that exchange embeddings only; then logits cross too. Null for none
        with `edge.start=cloud`, whose weights read logits, and with `embeddings=false`, else for 5,
        or for half the rounds of a run with fewer than 10.
      queries: Q, items that a device is asked about in each round.
      clip_norm: largest Euclidean norm of an `h_e` that leaves a device.
      clip_logit: largest absolute `z_e` that leaves a device.
      noise_multiplier: Gaussian noise that a device adds to its uplink, as a multiple of
        the clipping bounds; 0 for none.
      speak_above: root mean square difference of a device's `z_e` from the cloud's `z_c`, over the
        items it is asked about, below which it sends no answer in a round in which logits cross; 0
        to always answer.
      answer_by: how an uplink says which items it answers for: `place`, a fingerprint of the
        questions, which the cloud knows; `item`, their numbers. It changes bytes alone.
      only_asked: whether to refuse an uplink with an answer for an item that the cloud did not ask
        about.
      uplink_log: folder of an uplink log to which a simulation with the method `ecct` appends
        what reached the cloud in each round; `run:uplinks` is `uplinks` in the run folder;
        null for none.
      candidates: the rows of `items=candidates`.
      item_sums: the sums of `rows=item`.
      item_increments: what devices tell of pairs of items before the first round, where they
        tell anything (`up`).
      recent_popularity: what they tell of single items then.
    """

    items: ItemsName = "table"
    rows: RowsName = "user"
    codec: CodecName = "int8"
    item_table: str | None = AUTO
    weights_codec: CodecName = "float16"
    down: bool = True
    up: bool = True
    logits: bool = True
    embeddings: bool = True
    stage_1_rounds: int | None = None
    queries: int = 24
    clip_norm: float = 8.0
    clip_logit: float = 12.0
    noise_multiplier: float = 0.0
    speak_above: float = 0.0
    answer_by: AnswerBy = "place"
    only_asked: bool = True
    uplink_log: str | None = None
    candidates: CandidateRowsConfig = dataclasses.field(default_factory=CandidateRowsConfig)
    item_sums: ItemSumConfig = dataclasses.field(default_factory=ItemSumConfig)
    item_increments: IncrementConfig = dataclasses.field(default_factory=IncrementConfig)
    recent_popularity: RecentPopularityConfig = dataclasses.field(
        default_factory=RecentPopularityConfig
    )

    def __post_init__(self) -> None:
        numbers(self, "exchange")
        one_of(self, "exchange", "items", get_args(ItemsName))
        one_of(self, "exchange", "rows", get_args(RowsName))
        check_codec_name(self.codec, setting="exchange.codec")
        if self.item_table is not None:
            check_table_form(self.item_table, setting="exchange.item_table")
        check_codec_name(self.weights_codec, setting="exchange.weights_codec")
        if self.weights_codec == "int8":
            raise ConfigError(
                "exchange.weights_codec: int8 has one scale for all weights, which erases the "
                "small ones; use float16 or float32"
            )
        check_table_codec(self.codec, self.item_table)
        at_least(self, "exchange", 0, "noise_multiplier", "speak_above")
        if self.stage_1_rounds is not None:
            at_least(self, "exchange", 0, "stage_1_rounds")
            if not self.logits:
                raise ConfigError(
                    f"exchange.stage_1_rounds: got {self.stage_1_rounds} with "
                    "exchange.logits=false, which makes every round one of stage 1; expected "
                    "null, leave it out"
                )
        if not self.embeddings and (not self.logits or self.stage_1_rounds):
            given = f"stage_1_rounds={self.stage_1_rounds}" if self.logits else "logits=false"
            raise ConfigError(
                f"exchange.{given}: embeddings alone would cross, but exchange.embeddings=false; "
                "expected it to be left out, or exchange.embeddings=true. For a run in which "
                "nothing crosses set exchange.down=false and exchange.up=false"
            )
        at_least(self, "exchange", 1, "queries")
        one_of(self, "exchange", "answer_by", get_args(AnswerBy))
        if self.answer_by == "place" and not self.only_asked:
            raise ConfigError(
                "exchange.answer_by: got 'place' with exchange.only_asked=false: places are those "
                "of the questions, so nothing else can be answered; expected 'item', or "
                "exchange.only_asked=true"
            )
        positive(self, "exchange", "clip_norm", "clip_logit")


@dataclasses.dataclass(frozen=True)
class ServerConfig:
    """How the server applies the mean of the devices' changes of the shared weights.

    Attributes:
      optimizer: `average` adds the mean change (with momentum, if any); `adam` takes it as
        a gradient (Reddi et al., arXiv 2003.00295).
      learning_rate: learning rate of the server.
      momentum: momentum of `average`; decay of the first moment of `adam`.
      aggregator: aggregator that computes the mean: `mean`, weighted by samples, a name that an
        installed package registers, or `module:name` of a function that returns a factory of
        `tff.aggregators` (`docs/extend_aggregation.md`), for the engine `tff` with
        `runtime.shard_size=0`.
      stages: `module:name` of a function that returns `ecct_tf.federated.Stages`, which replace
        stages of the library's round (`docs/extend_aggregation.md`); null for none.
      buffer: number of devices whose changes the server waits for before it takes a step (FedBuff,
        arXiv 2106.06639); 0 takes a step in each round in which changes arrive.
      staleness_exponent: exponent a of `(1 + age)^-a`, the weight of a change computed from earlier
        shared weights; its age is the number of the server's steps since. 0 weights all equally.
    """

    optimizer: Literal["average", "adam"] = "adam"
    learning_rate: float = 0.00075
    momentum: float = 0.8
    aggregator: str = MEAN
    stages: str | None = None
    buffer: int = 0
    staleness_exponent: float = 0.5

    def __post_init__(self) -> None:
        numbers(self, "server")
        check_aggregator_form(self.aggregator, setting="server.aggregator")
        if self.stages is not None:
            _check_stages_form(self.stages)
        one_of(self, "server", "optimizer", ("average", "adam"))
        positive(self, "server", "learning_rate")
        at_least(self, "server", 0, "buffer", "staleness_exponent")
        if not 0 <= self.momentum < 1:
            raise ConfigError(f"server.momentum: expected a number in [0, 1), got {self.momentum}")


@dataclasses.dataclass(frozen=True)
class RuntimeConfig:
    """What computes the rounds, and how.

    Attributes:
      engine: `tff` (TensorFlow Federated, the reference), `local` (the same stages as TensorFlow
        functions in this process, without TFF), or null for `tff` if it is installed and `local`
        otherwise.
      shard_size: devices stacked in one client value; 0 makes each device a separate client value
        (slow, the reference).
      threads: intra-op threads of TFF's worker; `local` shares those of TensorFlow.
      concurrent_calls: number of client values computed at once.
      round_deadline_seconds: longest wait for TFF's worker in a round, for each tier of devices;
        then the worker is stopped, and the run ends with an error that says how to resume.
      workers: TFF's workers that share the devices of each round: `local` starts one on this
        machine, `host:port` is one that `ecct worker` runs. Empty for a single local one.
      workers_tls: folder with `ca.pem`, `cert.pem` and `key.pem` for mutual TLS with workers
        elsewhere, `private-network` where the network itself keeps others out, or null, which
        allows workers on this machine alone.
      real_devices: number of answering devices of each tier, the first by number, that an exported
        file also computes in each round, in its interpreter; a disagreement ends the run.
      real_devices_runtime: interpreter of these files: `tensorflow`, or `litert` if it is
        installed.
    """

    engine: EngineName | None = None
    shard_size: int = 64
    threads: int = 1
    concurrent_calls: int = 2
    round_deadline_seconds: float = 1800.0
    workers: tuple[str, ...] = ()
    workers_tls: str | None = None
    real_devices: int = 0
    real_devices_runtime: Literal["tensorflow", "litert"] = "tensorflow"

    def __post_init__(self) -> None:
        numbers(self, "runtime")
        if self.engine is not None:
            one_of(self, "runtime", "engine", get_args(EngineName))
        one_of(self, "runtime", "real_devices_runtime", ("tensorflow", "litert"))
        at_least(self, "runtime", 0, "real_devices")
        at_least(self, "runtime", 0, "shard_size")
        at_least(self, "runtime", 1, "threads", "concurrent_calls")
        positive(self, "runtime", "round_deadline_seconds")
        check_workers(self.workers, self.workers_tls)


def check_table_codec(codec: CodecName, item_table: str | None) -> None:
    """Refuses a codec of all that crosses that would have to write the item table, and cannot.

    Raises:
      ConfigError: it is a custom one, and no form of the item table is named.
    """
    if item_table is None and not is_own_codec(codec):
        raise ConfigError(
            f"exchange.item_table: got null with exchange.codec={codec}, a custom codec, which "
            "writes no item tables; expected a form, such as exchange.item_table=auto"
        )


def _check_stages_form(name: str) -> None:
    """Refuses what is no `module:name`; nothing is imported."""
    if ":" not in name:
        raise ConfigError(
            "server.stages: expected module:name, such as my_pkg.stages:robust, or null, got "
            f"{name!r}"
        )
    check_name_form(name, setting="server.stages", examples="module:name such as my_pkg.stages:own")
