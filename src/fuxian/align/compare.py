"""Compares numbers: element by element, in the largest error, never by means. Needs neither framework.

What never passes: NaN or infinity, another shape (nothing is broadcast), another kind of element, a tensor that is
missing or extra, and one without elements, since nothing was compared then.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from fuxian.align import sketch as sketches
from fuxian.align.recording import Recording

FLOAT32, FLOAT64 = 2.0**-24, 2.0**-53
FLOOR = {"float64": 1e-10, "float32": 32 * FLOAT32}
"""Relative errors below which nothing is called different, whatever the oracle says: some units of rounding."""
WITHOUT_ORACLE = {"float64": (1e-9, 1e-6), "float32": (1e-5, 1e-2)}
"""Where no second precision was run: aligned up to the first, diverged above the second, between inconclusive."""
SAFETY = {"float64": 64.0, "float32": 4.0}
"""The share of the oracle's error that is allowed. The float32 one is small because both sides' own errors are
added up, which bounds the difference of two faithful sides exactly."""
QUANTILES = (0.5, 0.9, 0.99, 1.0)
SAMPLED = 2**17
"""Elements, evenly spread, that quantiles and histogram of a larger tensor are taken from; maxima are of all."""


@dataclass(frozen=True)
class TensorComparison:
    """One tensor of both sides.

    ``error`` is the largest absolute difference over the largest absolute element of the reference; ``tolerance``
    is in the same terms, and ``error`` is also the smallest tolerance that would pass. ``ulps`` is the largest
    difference in units of the last place of the precision that was run, at the size of the largest element.
    ``problem`` says why the tensor cannot pass whatever the tolerance, ``""`` if nothing stands against it.
    ``quantiles`` are of the absolute differences, the last one their maximum; ``worst`` lists
    (index, port, reference), of a tensor that passes just one. With ``sketched`` the error is an estimate from
    sketches.
    """

    name: str
    reference_name: str
    error: float
    tolerance: float
    problem: str = ""
    undecided: bool = False
    sketched: bool = False
    shape: tuple[int, ...] = ()
    scale: float = 0.0
    ulps: float = 0.0
    quantiles: tuple[float, ...] = ()
    histogram: tuple[int, ...] = ()
    worst: list[tuple[list[int], float, float]] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether the tensor passes."""
        passes = math.isfinite(self.error) and self.error <= self.tolerance
        return passes and not self.problem and not self.undecided

    @property
    def differs(self) -> bool:
        """Whether it certainly does not pass."""
        return not self.agrees and not self.undecided


def problem_of(port: np.ndarray | None, reference: np.ndarray | None) -> tuple[str, bool]:
    """Why two arrays cannot be equal, and whether that leaves the question undecided; ``""`` if they may be."""
    if port is None and reference is None:
        return "on neither side", True
    if port is None:
        return "missing in the port", False
    if reference is None:
        return "extra in the port", False
    if port.shape != reference.shape and not _one_number(port, reference):
        return f"shape {tuple(port.shape)} instead of {tuple(reference.shape)}", False
    if (port.dtype.kind == "f") != (reference.dtype.kind == "f") or (
        (port.dtype == np.float16) != (reference.dtype == np.float16)
    ):
        return f"dtype {port.dtype} instead of {reference.dtype}", False
    if port.size == 0:
        return "no elements: nothing was compared", True
    if port.dtype.kind == "f" and not (_finite(port) and _finite(reference)):
        same = np.array_equal(port, reference, equal_nan=True)
        if same or not np.isfinite(reference).all():
            return "NaN or infinity in the reference itself", bool(
                np.array_equal(np.isfinite(port), np.isfinite(reference))
            )
        return "NaN or infinity in the port", False
    return "", False


def _one_number(port: np.ndarray, reference: np.ndarray) -> bool:
    """Whether both are one number, one of them in a vector, as in reprod_log's files and Paddle before 2.5."""
    return {port.shape, reference.shape} == {(), (1,)}


def _finite(array: np.ndarray) -> bool:
    """Whether no element is NaN or infinite: either would show in the extremes."""
    return bool(np.isfinite(array.min()) and np.isfinite(array.max()))


def compare(
    name: str,
    port: np.ndarray | None,
    reference: np.ndarray | None,
    tolerance: float,
    *,
    precision: str = "float64",
    undecided_to: float = 0.0,
    floor: float = 0.0,
    reference_name: str = "",
) -> TensorComparison:
    """Compare one tensor of the port with the reference's.

    ``tolerance`` is relative to the reference's largest element, or to ``floor`` where that is larger; errors up
    to ``undecided_to`` are left undecided.
    """
    problem, undecided = problem_of(port, reference)
    shape = tuple(port.shape) if port is not None else tuple(reference.shape) if reference is not None else ()
    if problem:
        return TensorComparison(
            name, reference_name, float("inf"), tolerance, problem, undecided, shape=shape
        )
    assert port is not None and reference is not None  # noqa: S101
    reference = reference.reshape(port.shape)
    if (
        port.dtype == reference.dtype == np.float32
    ):  # The difference of neighbours is exact in their own precision.
        one, two = port, reference
    else:
        one, two = port.astype(np.float64), reference.astype(np.float64)
    size = max(float(two.max()), -float(two.min()), floor)
    difference = (one - two).reshape(-1)
    np.abs(difference, out=difference)
    worst = float(difference.max())
    error = worst / size if size else (0.0 if worst == 0 else float("inf"))
    if port.dtype.kind != "f":
        tolerance, undecided_to = 0.0, 0.0
    sample = difference[:: -(-difference.size // SAMPLED)].astype(np.float64)
    count = min(5, difference.size) if error > tolerance else 1
    order = _largest(difference, count)
    unit = FLOAT64 if precision == "float64" else FLOAT32
    return TensorComparison(
        name,
        reference_name,
        error,
        tolerance,
        undecided=tolerance < error <= undecided_to,
        shape=shape,
        scale=size,
        ulps=error / (2 * unit) if np.isfinite(error) else error,
        quantiles=(*(float(q) for q in np.quantile(sample, QUANTILES[:-1])), worst),
        histogram=_histogram(sample / size if size else sample),
        worst=[
            ([int(i) for i in np.unravel_index(place, shape)], float(one.flat[place]), float(two.flat[place]))
            for place in order
        ],
    )


BLOCK = 4096


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    """Where the ``count`` largest elements are, the largest first. They lie in the blocks with the largest maxima:
    millions of elements, many alike, are slow to partition whole."""
    if values.size > count * BLOCK:
        blocks = _largest(np.maximum.reduceat(values, np.arange(0, values.size, BLOCK)), count)
        places = np.concatenate([np.arange(b * BLOCK, min((b + 1) * BLOCK, values.size)) for b in blocks])
    else:
        places = np.arange(values.size)
    held = values[places]
    kept = np.argpartition(held, -count)[-count:]
    return places[kept[np.argsort(-held[kept])]]


def _histogram(relative: np.ndarray) -> tuple[int, ...]:
    """Counts by decade of relative error: below 1e-17, then each decade up to 1e0 and above."""
    decades = np.floor(np.log10(np.maximum(relative, 1e-18))).clip(-18, 0).astype(int) + 18
    return tuple(int(n) for n in np.bincount(decades, minlength=19))


def compare_sketches(
    name: str, port: np.ndarray, reference: np.ndarray, tolerance: float, *, reference_name: str = ""
) -> TensorComparison:
    """Compare by sketches alone, where elements were not kept."""
    if port[sketches.COUNT] != reference[sketches.COUNT]:
        return TensorComparison(name, reference_name, float("inf"), tolerance, "another number of elements")
    if (
        port[sketches.NANS]
        + port[sketches.INFINITIES]
        + reference[sketches.NANS]
        + reference[sketches.INFINITIES]
    ):
        undecided = bool(np.array_equal(port[:3], reference[:3]))
        return TensorComparison(name, reference_name, float("inf"), tolerance, "NaN or infinity", undecided)
    error = sketches.error(port, reference)
    return TensorComparison(
        name, reference_name, error, tolerance, sketched=True, scale=sketches.scale(reference)
    )


@dataclass(frozen=True)
class Judge:
    """Says how much a tensor may differ: rounding as the oracle measured it, and the frameworks' own differences.

    ``known`` is the largest relative perturbation that a known difference of the frameworks makes. How much such a
    perturbation grows on the way is taken from the tensor's own error in float32 where ``amplified``, and from the
    error ``growth`` in any case. A tensor that is what ``steps`` training steps made of a weight may besides differ by
    what these make of the relative perturbation ``trained``.
    """

    port: Recording
    reference: Recording
    known: float = 0.0
    amplified: bool = True
    growth: float = 0.0
    steps: int = 0
    trained: float = 0.0

    @property
    def precision(self) -> str:
        return str(self.reference.data["dtype"])

    def tolerance(
        self, port_name: str, reference_names: list[str], typical: float = 0.0
    ) -> tuple[float, float]:
        """The tolerance of a tensor and up to where it is undecided, relative to the largest element.

        ``typical`` is the rounding error of the stage's tensors, for one that got off lightly by chance. Of several
        reference tensors that make up one of the port's, each error counts by the tensor's size.
        """
        rounding = self.reference.data.get("rounding")
        if rounding is None:
            low, high = WITHOUT_ORACLE[self.precision]
            return max(low, 4 * self.known), max(high, 4 * self.known)
        sizes = [self._size(name) if len(reference_names) > 1 else 1.0 for name in reference_names]
        errors = [
            float(rounding.get(name, 0.0)) * size for name, size in zip(reference_names, sizes, strict=True)
        ]
        own = max(max(errors, default=0.0) / (max(sizes, default=1.0) or 1.0), typical)
        grown = max(1.0, self.growth / FLOAT32, own / FLOAT32 if self.amplified else 0.0)
        amplified = 4 * self.known * grown
        if self.steps:
            amplified += self.trained * max(self.lost(n) for n in reference_names) / FLOAT32
        floor = FLOOR[self.precision]
        if self.precision == "float64":
            return floor + SAFETY["float64"] * own * FLOAT64 / FLOAT32 + amplified, 0.0
        ports = float(self.port.data.get("rounding", {}).get(port_name, 0.0))
        return floor + SAFETY["float32"] * (own + ports) + amplified, 0.0

    def lost(self, name: str) -> float:
        """How far a tensor that ``steps`` training steps made is off in float32, relative to its largest element,
        beyond what rounding its weight after each step explains."""
        own = float((self.reference.data.get("rounding") or {}).get(name, 0.0))
        size, weight = self._size(name), self._size(f"weights/{name.split('/', 3)[-1]}")
        return max(own - self.steps * FLOAT32 * weight / size, 0.0) if size and np.isfinite(own) else own

    def _size(self, name: str) -> float:
        return sketches.scale(self.reference.sketch(name)) if name in self.reference else 0.0

    def typical(self, prefix: str) -> float:
        """The median rounding error of the reference's tensors below a prefix."""
        rounding = self.reference.data.get("rounding") or {}
        found = [
            float(v) for name, v in rounding.items() if name.startswith(prefix) and np.isfinite(float(v))
        ]
        return float(np.median(found)) if found else 0.0
