"""Random numbers that both sides share, so that dropout and drop-path do the same on either framework.

The k-th draw of a size is made from the seed, the number of elements and k by numpy, so that heads beside the batch
and heads within it get the same numbers. A port that lays batch and time out in the other order gets them
transposed: the shapes that the reference drew are recorded. What is kept is always where the uniform number is at
least p, which agrees with ``floor(1 - p + u)`` and with ``bernoulli(1 - p)`` as both frameworks' users write drop-path.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import permutations

import numpy as np

SEED = 20211


class Draws:
    """A source of shared draws; the same order of calls gives the same numbers.

    ``made`` lists the shapes drawn so far, sizes of 1 aside, by kind and number of elements; ``like`` is what the
    reference made.
    """

    def __init__(self, seed: int = SEED, like: Mapping[str, Sequence[Sequence[int]]] | None = None) -> None:
        self.seed = seed
        self.like = like or {}
        self.made: dict[str, list[list[int]]] = {}

    def _draw(self, kind: str, shape: Sequence[int], draw: Callable[..., np.ndarray]) -> np.ndarray:
        shape = tuple(int(size) for size in shape)
        sizes = [size for size in shape if size != 1]
        key = f"{kind} {math.prod(sizes)}"
        before = self.made.setdefault(key, [])
        digest = hashlib.sha256(f"{self.seed} {key} {len(before)}".encode()).digest()
        generator = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:8], "little")))
        theirs = self.like.get(key, ())
        order = _transposed(list(theirs[len(before)]), sizes) if len(before) < len(theirs) else None
        before.append(sizes)
        if order is None:
            return draw(generator, shape)
        return draw(generator, tuple(theirs[len(before) - 1])).transpose(order).reshape(shape)

    def uniform(self, shape: Sequence[int]) -> np.ndarray:
        """Float64 in [0, 1)."""
        return self._draw("uniform", shape, lambda generator, size: generator.random(size))

    def normal(self, shape: Sequence[int]) -> np.ndarray:
        """Float64, standard normal."""
        return self._draw("normal", shape, lambda generator, size: generator.standard_normal(size))

    def integers(self, low: int, high: int, shape: Sequence[int]) -> np.ndarray:
        """Int64 in [low, high)."""
        return self._draw("integers", shape, lambda generator, size: generator.integers(low, high, size))

    def permutation(self, count: int) -> np.ndarray:
        """Int64, the numbers below ``count`` in a shared order."""
        return self._draw("permutation", (count,), lambda generator, _: generator.permutation(count))

    def bernoulli(self, probability: np.ndarray) -> np.ndarray:
        """1.0 with the given probabilities, else 0.0; float64."""
        return (self.uniform(np.shape(probability)) >= 1.0 - np.asarray(probability, dtype=np.float64)) * 1.0

    def kept(self, shape: Sequence[int], p: float) -> np.ndarray:
        """1.0 where dropout with rate ``p`` keeps, else 0.0; float64."""
        return (self.uniform(shape) >= p) * 1.0


def _transposed(theirs: list[int], ours: list[int]) -> tuple[int, ...] | None:
    """The axes of the reference's draw in the port's order; None where the shapes are not the same sizes in another
    order, or the elements lie alike."""
    if theirs == ours or sorted(theirs) != sorted(ours) or len(ours) > 5:
        return None
    return next(axes for axes in permutations(range(len(ours))) if [theirs[axis] for axis in axes] == ours)
