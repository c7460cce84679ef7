"""The test of a ruling: new pictures."""

from __future__ import annotations

from collections.abc import Iterator

from data import Boxes


def draw(claim: str, seed: int) -> Iterator[dict]:
    stream = Boxes(10, 20, 2_000_000 + seed)
    for number in range(len(stream)):
        yield {**stream[number], "ids": [f"{number}-{index}" for index in range(20)]}
