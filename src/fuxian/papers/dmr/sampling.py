"""The candidate samplers of TensorFlow that the auxiliary loss is defined by, in numpy: classes are drawn until
``count`` different ones are there, and the expected number of draws of each follows from how many it took."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fuxian.errors import InputError
from fuxian.papers.dmr.settings import Sampler


class Sampled(NamedTuple):
    """``classes`` int64 [S], all different; expected numbers of draws ``right`` [B] and ``drawn`` [S], float64."""

    classes: np.ndarray
    right: np.ndarray
    drawn: np.ndarray


def log_uniform(classes: int) -> np.ndarray:
    """Zipf's probabilities [C] for classes sorted by falling frequency: log((k + 2) / (k + 1)) / log(C + 1)."""
    k = np.arange(classes)
    return np.log((k + 2) / (k + 1)) / np.log(classes + 1)


class LearnedUnigram:
    """The frequencies of the right classes so far, one draw of each assumed before the first."""

    def __init__(self, classes: int) -> None:
        self.times = np.ones(classes, np.int64)

    def learn(self, right: np.ndarray) -> None:
        """Takes in the right classes [B] of a batch, after its own draw."""
        self.times += np.bincount(right, minlength=len(self.times))

    @property
    def probabilities(self) -> np.ndarray:
        return self.times / self.times.sum()


def sample(probabilities: np.ndarray, right: np.ndarray, count: int, rng: np.random.Generator) -> Sampled:
    """``count`` different classes of those probabilities [C], beside the right classes [B].

    Raises InputError where there are not as many.
    """
    if count > len(probabilities):
        raise InputError(
            f"{count} different classes of {len(probabilities)} cannot be drawn; set sampled lower."
        )
    edges = np.cumsum(probabilities)
    found = np.empty(0, np.int64)
    while True:
        more = np.searchsorted(edges, rng.random(2 * count) * edges[-1], side="right")
        found = np.concatenate([found, more])
        chosen, first = np.unique(found, return_index=True)
        if len(chosen) >= count:
            break
    order = np.argsort(first)[:count]
    tries = int(first[order[-1]]) + 1
    chosen = chosen[order]
    return Sampled(
        chosen, expected(probabilities[right], count, tries), expected(probabilities[chosen], count, tries)
    )


def expected(probability: np.ndarray, count: int, tries: int) -> np.ndarray:
    """How often a class of that probability is among ``count`` different ones that took so many tries."""
    if tries == count:
        return probability * count
    return -np.expm1(tries * np.log1p(-probability))


def sampler_of(name: Sampler, classes: int) -> LearnedUnigram | np.ndarray:
    """The learning sampler, or the fixed probabilities."""
    return LearnedUnigram(classes) if name == "learned-unigram" else log_uniform(classes)
