"""Random numbers that both sides share, so that dropout and drop-path do the same on either framework.

The k-th draw of a shape is made from the seed, the shape (sizes of 1 aside) and k by numpy. What is kept is
always where the uniform number is at least p, which agrees with ``floor(1 - p + u)`` and with
``bernoulli(1 - p)`` as both frameworks' users write drop-path. Nothing needs to be stored but the seed.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np

SEED = 20211


class Draws:
    """A source of shared draws; the same order of calls gives the same numbers."""

    def __init__(self, seed: int = SEED) -> None:
        self.seed = seed
        self._made: Counter[tuple] = Counter()

    def _generator(self, kind: str, shape: Sequence[int]) -> np.random.Generator:
        key = (kind, *(int(size) for size in shape if size != 1))
        digest = hashlib.sha256(f"{self.seed} {key} {self._made[key]}".encode()).digest()
        self._made[key] += 1
        return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:8], "little")))

    def uniform(self, shape: Sequence[int]) -> np.ndarray:
        """Float64 in [0, 1)."""
        return self._generator("uniform", shape).random(tuple(shape))

    def normal(self, shape: Sequence[int]) -> np.ndarray:
        """Float64, standard normal."""
        return self._generator("normal", shape).standard_normal(tuple(shape))

    def integers(self, low: int, high: int, shape: Sequence[int]) -> np.ndarray:
        """Int64 in [low, high)."""
        return self._generator("integers", shape).integers(low, high, tuple(shape))

    def permutation(self, count: int) -> np.ndarray:
        """Int64, the numbers below ``count`` in a shared order."""
        return self._generator("permutation", (count,)).permutation(count)

    def bernoulli(self, probability: np.ndarray) -> np.ndarray:
        """1.0 with the given probabilities, else 0.0; float64."""
        return (self.uniform(np.shape(probability)) >= 1.0 - np.asarray(probability, dtype=np.float64)) * 1.0

    def kept(self, shape: Sequence[int], p: float) -> np.ndarray:
        """1.0 where dropout with rate ``p`` keeps, else 0.0; float64."""
        return (self.uniform(shape) >= p) * 1.0
