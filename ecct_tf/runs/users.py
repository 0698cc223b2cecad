"""Which user of a run is meant: by the id in the data, or by the number that its files have."""

import numpy as np

from ecct_tf.config.parsing import near_miss
from ecct_tf.data import Split
from ecct_tf.errors import DataError
from ecct_tf.reporting.spread import plural
from ecct_tf.simulation.experiment import Experiment

__all__ = ["typed_user", "user_number", "why_left_out"]

_ID, _NUMBER = "id:", "number:"


def user_number(experiment: Experiment, user: str | int, *, newcomers: bool = False) -> int:
    """The number of the user with the id `user`, who takes part in the run.

    Args:
      experiment: the data of the run.
      user: their id.
      newcomers: whether to accept one who has too few interactions to take part.

    Raises:
      DataError: when there is none, or they take no part.
    """
    token, numbers = _token(user), _numbers(experiment)
    if token not in numbers:
        raise _unknown(experiment, token, known=numbers)
    return _taking_part(experiment, numbers[token], newcomers=newcomers)


def typed_user(experiment: Experiment, typed: str) -> int:
    """The number of the user that somebody typed, who takes part in the run.

    Args:
      experiment: the data of the run.
      typed: an id of the data; or a number as `devices.csv` has it, from 0, where no other user
        has it as their id. `id:42` is the id 42, `number:42` the number.

    Raises:
      DataError: when it is none of these, or the id of one user and the number of another, or
        the user takes no part.
    """
    dataset, numbers = experiment.dataset, _numbers(experiment)
    told = typed if typed in numbers else typed.removeprefix(_NUMBER)
    number = int(told) if told.isascii() and told.isdecimal() and len(told) < 20 else None
    if number is not None and number >= dataset.num_users:
        number = None
    by_id = numbers.get(typed)
    if by_id is None and typed.startswith(_ID):
        by_id, number = numbers.get(typed.removeprefix(_ID)), None
    if by_id is None and number is None:
        more = f", or a number in 0..{dataset.num_users - 1} as devices.csv has it"
        raise _unknown(experiment, typed, known=numbers, more=more)
    if by_id is not None and number is not None and by_id != number:
        raise DataError(
            f"user {typed!r}: this is the id of one user, whose number in devices.csv is {by_id}, "
            f"and the number of another, whose id is {dataset.user_tokens[number]!r}; expected "
            f"{_ID}{typed} for the first, or {_NUMBER}{typed} for the second"
        )
    found = by_id if by_id is not None else number
    return _taking_part(experiment, int(found or 0), newcomers=False)


def why_left_out(split: Split, number: int) -> str:
    """Why the user with `number` takes no part."""
    if number in split.heavy_users:
        return "they met more of the catalog than data.max_item_share"
    met = plural(len(split.touched(number)), "interaction")
    return f"of {met} the split leaves too few to train on"


def _taking_part(experiment: Experiment, number: int, *, newcomers: bool) -> int:
    split = experiment.split
    if split.includes(number) or (newcomers and number not in split.heavy_users):
        return number
    raise DataError(
        f"user {experiment.dataset.user_tokens[number]!r} takes no part in the run: "
        f"{why_left_out(split, number)}. Ask for another user."
    )


def _numbers(experiment: Experiment) -> dict[str, int]:
    return {token: number for number, token in enumerate(experiment.dataset.user_tokens)}


def _unknown(
    experiment: Experiment, token: str, *, known: dict[str, int], more: str = ""
) -> DataError:
    dataset = experiment.dataset
    some = ", ".join(map(repr, dataset.user_tokens[:3]))
    return DataError(
        f"user {token!r}: expected the id of one of the {dataset.num_users:,} users of data "
        f"set {dataset.name!r}, such as {some}{more}{near_miss(token, known)}"
    )


def _token(user: object) -> str:
    """An id as data sets have it: of a frame it may come as a float or as bytes."""
    if isinstance(user, float | np.floating) and user.is_integer():
        return str(int(user))
    if isinstance(user, bytes):
        return user.decode(errors="replace")
    return str(user)
