"""How a recipe's metric collects: one function of a batch says what its units contributed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fuxian.errors import InputError
from fuxian.metrics.units import Selection, Units


class Collected:
    """``contribution(outputs, targets, meta)`` of every batch; a subclass says which figures become of them."""

    def __init__(self, contribution: Callable[[Any, Any, Any], Any]) -> None:
        self.contribution = contribution
        self.batches: list[Any] = []

    def update(self, outputs: Any, targets: Any, meta: Any = None) -> None:
        """Takes in one batch. Arrays are detached numpy arrays."""
        self.batches.append(self.contribution(outputs, targets, meta))

    def units(self) -> dict[str, Units]:
        """What each unit contributed, by the name of the figure. Raises InputError before the first batch."""
        if not self.batches:
            raise InputError("there is no figure before the first batch; give eval_data some.")
        return self.of_batches(self.batches)

    def figures(self, selection: Selection | None = None) -> dict[str, float]:
        """Every figure by name, of the selected units or of all."""
        return {name: units.figure(selection) for name, units in self.units().items()}

    def of_batches(self, batches: list[Any]) -> dict[str, Units]:
        """The units, from what ``contribution`` returned for each batch."""
        raise NotImplementedError


class Several:
    """Several metrics of one evaluation, for instance AUC and log loss; their figures' names differ."""

    def __init__(self, *metrics: Any) -> None:
        self.metrics = metrics

    def update(self, outputs: Any, targets: Any, meta: Any = None) -> None:
        for metric in self.metrics:
            metric.update(outputs, targets, meta)

    def units(self) -> dict[str, Units]:
        return {name: units for metric in self.metrics for name, units in metric.units().items()}

    def figures(self, selection: Selection | None = None) -> dict[str, float]:
        """Every figure by name. A selection needs metrics of the same units."""
        return {name: figure for metric in self.metrics for name, figure in metric.figures(selection).items()}


def columns(batches: list[tuple[Any, ...]], types: tuple[type, ...]) -> list[np.ndarray]:
    """The columns of all batches, each one array [rows] of its type."""
    return [
        np.concatenate([np.asarray(part).reshape(-1).astype(type_) for part in parts])
        for parts, type_ in zip(zip(*batches, strict=True), types, strict=True)
    ]


def numbered(ids: list[Any]) -> tuple[np.ndarray, int]:
    """Batches of ids (integers or strings) [rows] as unit numbers [rows] int64, and how many units there are."""
    joined = np.concatenate([np.asarray(part).reshape(-1) for part in ids])
    known, numbers = np.unique(joined, return_inverse=True)
    return numbers.reshape(-1).astype(np.int64), len(known)
