"""A run's edge models as files for phones."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from ecct_tf.runs.models import RunModels
from ecct_tf.simulation.published_rows import room_of, write_rows
from mobile_export.making.export import ExportedFile, export_edge_model

__all__ = ["export_models"]

# Devices on whose data `inference-int8` is calibrated.
_EXAMPLES = 32

_log = logging.getLogger(__name__)


def export_models(
    models: RunModels,
    out: Path,
    *,
    variants: Sequence[str] | None = None,
    tier: str | None = None,
    user: int | None = None,
    new_device: bool = False,
    static: tuple[int, int] | None = None,
    overwrite: bool = False,
) -> Iterator[ExportedFile]:
    """Writes files of each tier, a manifest and a model card; yields the files of a tier at once.

    Files answer a cloud with rows of their user, always; of a run whose devices sent sums alone, or
    did not always answer, it is said. Of a run whose devices hold rows of some items the files hold
    none: those of all devices and of each user are files of their own.

    Args:
      models: of the run.
      out: folder; made when it is missing.
      variants: names out of `mobile_export.making.variants.VARIANTS`; None for the one
        that has the item table as devices received it.
      tier: the one to export; None for every one of the run, or that of the user's device.
      user: the number of the user whose device's own weights to export; None for the mean.
      new_device: whether to export what a device that has not trained begins with.
      static: B and C of additional static-shape files.
      overwrite: whether files of another run in `out` may be replaced.

    Raises:
      ConfigError: a variant is unknown.
      ExportError: the run lacks the tier or the user's device, or `out` has files of another run.
    """
    if models.sends_sums:
        _log.warning(
            "no row left a device in the run (exchange.rows=item); its files recommend and train "
            "as its devices do, but an uplink of theirs is the row of a user: send none where "
            "sums alone were agreed"
        )
    exchange = models.experiment.config.exchange
    if exchange.speak_above:
        _log.warning(
            "devices of the run sent no answer below exchange.speak_above=%g; a device with one of "
            "its files always answers",
            exchange.speak_above,
        )
    holding, config = models.holding, models.experiment.config
    if tier is None and user is not None:
        tier = models.tier_of(user)
    for chosen in models.tiers if tier is None else [tier]:
        reference = models.reference(chosen, user=user, steps=0, new_device=new_device)
        yield from export_edge_model(
            reference.model,
            reference.weights,
            reference.table,
            task=reference.task,
            out=out,
            variants=variants,
            static=static,
            labels=models.labels(chosen, user=user, new_device=new_device),
            examples=models.examples(chosen, count=_EXAMPLES),
            overwrite=overwrite,
            held=None if holding is None else room_of(config),
        )
    if holding is not None:
        write_rows(config, models.table, holding.items, out)
