"""What the units of an evaluation contributed to a figure, kept so that anyone computes the figure again.

A *unit* is what may be drawn anew: an image, a pair, a user, a task, a fold. Figures such as average precision are
no means over units, but each can be computed for any selection of them, which is all that its bounds need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fuxian.errors import InputError

Selection = Sequence[int] | np.ndarray
"""Numbers of units, 0 to n - 1, in any order; a unit that stands twice counts twice."""
MOST = 10**7
"""More units than this are none that were measured: memory goes with their number."""
Figure = Callable[[np.ndarray], float]
"""The figure of a selection [m] int64."""


@dataclass(frozen=True, eq=False)
class Units:
    """What n units contributed to one figure. Which arrays there are depends on the kind: ``KINDS`` has them.

    Raises InputError for a kind that is not known, and for arrays that are not that kind's.
    """

    kind: str
    n: int
    arrays: Mapping[str, np.ndarray]
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Numbers and words that the figure depends on, ready for JSON."""

    def __post_init__(self) -> None:
        from fuxian.metrics.kinds import KINDS

        if self.kind not in KINDS:
            raise InputError(f"units of the kind {self.kind!r:.40} are not known; known: {', '.join(KINDS)}.")
        if not 1 <= self.n <= MOST:
            raise InputError(f"{self.kind}: there are {self.n} units; evaluate on 1 to {MOST}.")
        KINDS[self.kind].check(self)

    def figure(self, selection: Selection | None = None) -> float:
        """The figure of the selected units, of all of them by default; NaN where they have none."""
        return self.figures([np.arange(self.n) if selection is None else selection])[0]

    def figures(self, selections: Iterable[Selection]) -> list[float]:
        """The figure of each selection; what they share is prepared once."""
        from fuxian.metrics.kinds import KINDS

        of = KINDS[self.kind].prepare(self)
        return [float(of(self._checked(selection))) for selection in selections]

    def _checked(self, selection: Selection) -> np.ndarray:
        chosen = np.asarray(selection)
        if chosen.ndim != 1 or chosen.dtype.kind not in "iu" or not len(chosen):
            raise InputError(f"{self.kind}: a selection is a list of unit numbers; give some.")
        if chosen.min() < 0 or chosen.max() >= self.n:
            raise InputError(
                f"{self.kind}: a selection names unit {chosen.max()} or {chosen.min()}, and the units are 0 to"
                f" {self.n - 1}."
            )
        return chosen.astype(np.int64)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Units)
            and (self.kind, self.n, dict(self.settings)) == (other.kind, other.n, dict(other.settings))
            and self.arrays.keys() == other.arrays.keys()
            and all(np.array_equal(a, other.arrays[name], equal_nan=True) for name, a in self.arrays.items())
        )

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Kind:
    """A kind of figure that Fuxian computes itself from what units contributed."""

    check: Callable[[Units], None]
    """Raises InputError for arrays or settings that are not this kind's."""
    prepare: Callable[[Units], Figure]


def need(units: Units, shapes: Mapping[str, tuple[int | str, ...]]) -> None:
    """Refuses arrays that are not numbers of these shapes; a letter is the same length wherever it stands.

    The letter ``n`` is the number of units.
    """
    if units.arrays.keys() != shapes.keys():
        raise InputError(
            f"{units.kind}: the arrays are {', '.join(units.arrays) or 'none'}; give {', '.join(shapes)}."
        )
    lengths: dict[str, int] = {"n": units.n}
    for name, shape in shapes.items():
        array = units.arrays[name]
        fits = isinstance(array, np.ndarray) and array.dtype.kind in "biuf" and array.ndim == len(shape)
        for size, wanted in zip(array.shape if fits else (), shape, strict=fits):
            fits &= size == (wanted if isinstance(wanted, int) else lengths.setdefault(wanted, size))
        if not fits:
            wanted_shape = ", ".join(map(str, shape))
            raise InputError(
                f"{units.kind}: the array {name!r} is {getattr(array, 'dtype', type(array).__name__)}"
                f" {list(getattr(array, 'shape', ()))}; give numbers [{wanted_shape}]."
            )


def need_unit_numbers(units: Units, name: str) -> None:
    """Refuses an array that does not say for each row which unit it belongs to."""
    array = units.arrays[name]
    if array.dtype.kind not in "iu" or (len(array) and not 0 <= array.min() <= array.max() < units.n):
        raise InputError(f"{units.kind}: the array {name!r} must number the units from 0 to {units.n - 1}.")


def need_truth_values(units: Units, name: str) -> None:
    """Refuses an array with other values than 0 and 1."""
    if not np.isin(units.arrays[name], (0, 1)).all():
        raise InputError(f"{units.kind}: the array {name!r} must hold 0 and 1 alone.")


def finite(units: Units, *names: str) -> bool:
    """Whether all values of these arrays are finite: a network that diverged has no figure."""
    return all(bool(np.isfinite(units.arrays[name]).all()) for name in names)
