"""Options of the commands that export files: of which kinds, and for which shapes."""

from collections.abc import Callable
from typing import Any

import click

__all__ = ["VARIANTS", "static_option", "variant_option"]

# Those of `mobile_export.making.variants`, which imports TensorFlow.
VARIANTS = (
    "trainable-int8",
    "trainable-int4",
    "trainable-pq2",
    "trainable-pq4",
    "trainable-pq8",
    "trainable-fine",
    "trainable-lean",
    "trainable-float32",
    "trainable-lora",
    "inference-dynamic-int8",
    "inference-float16",
    "inference-int8",
)

# Beyond it the sizes of a graph's arrays would not fit into 32 bits.
_MOST_ROWS = 1_000_000


def _static_shapes(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    """Reads `B,C`."""
    del context
    if value is None:
        return None
    try:
        batch, candidates = (int(part) for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter(
            f"expected two whole numbers like 30,100, got {value!r}", param=parameter
        ) from error
    if min(batch, candidates) < 1 or max(batch, candidates) > _MOST_ROWS:
        raise click.BadParameter(
            f"both numbers must be in 1..{_MOST_ROWS:,}, got {value}", param=parameter
        )
    return batch, candidates


def variant_option(whose: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--variant KIND`, repeatable, as `variants`.

    Args:
      whose: setting of the item table decides by default, such as `the run's`.
    """
    return click.option(
        "--variant",
        "variants",
        multiple=True,
        type=click.Choice(("all", *VARIANTS)),
        metavar="KIND",
        help=f"Kind of file, repeatable: all, {', '.join(VARIANTS)}; by default the one "
        f"that has the item table in the form of {whose} exchange.item_table.",
    )


def static_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--static B,C`, as `static`."""
    return click.option(
        "--static",
        metavar="B,C",
        callback=_static_shapes,
        help="Also write files for B training rows and C candidates, as browsers need them; by "
        "default none.",
    )(command)
