"""Random numbers of several processes: each gets its rows of what one process draws for the joint batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fuxian.align.draws import Draws

Drawn = tuple[str, tuple[int, ...]]
"""The kind of a draw and its shape."""
PERMUTATION = "permutation"


class JointDraws(Draws):
    """One process's draws for the joint batch, noted in order.

    A permutation is one of each share's examples beside the other: a process can permute only its own.
    """

    def __init__(self, seed: int, size: int) -> None:
        super().__init__(seed)
        self.size = size
        self.noted: list[Drawn] = []

    def _draw(self, kind: str, shape: Sequence[int], draw: Callable[..., np.ndarray]) -> np.ndarray:
        if kind != PERMUTATION:
            self.noted.append((kind, tuple(map(int, shape))))
        return super()._draw(kind, shape, draw)

    def permutation(self, count: int) -> np.ndarray:
        self.noted.append((PERMUTATION, (count,)))
        if count % self.size:
            return super().permutation(count)
        part = count // self.size
        return np.concatenate(
            [super(JointDraws, self).permutation(part) + i * part for i in range(self.size)]
        )


class SharedDraws(JointDraws):
    """One process's part of them. A draw that is no part of the joint one (its shape does not follow the batch's) is
    the same in every process."""

    def __init__(self, seed: int, size: int, rank: int, joint: Sequence[Drawn]) -> None:
        super().__init__(seed, size)
        self.rank, self.joint = rank, list(joint)

    def _whole(self, kind: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the joint draw that this one is a part of; its own where it is none."""
        number = len(self.noted)
        if number < len(self.joint) and self.joint[number][0] == kind:
            whole = self.joint[number][1]
            if shared_axis(whole, shape, self.size) is not None:
                return whole
        return shape

    def _draw(self, kind: str, shape: Sequence[int], draw: Callable[..., np.ndarray]) -> np.ndarray:
        shape = tuple(map(int, shape))
        whole = shape if kind == PERMUTATION else self._whole(kind, shape)
        axis = shared_axis(whole, shape, self.size)
        drawn = super()._draw(kind, whole, draw)
        if axis is None:
            return drawn
        return drawn.take(range(self.rank * shape[axis], (self.rank + 1) * shape[axis]), axis)

    def permutation(self, count: int) -> np.ndarray:
        (whole,) = self._whole(PERMUTATION, (count,))
        drawn = super().permutation(whole)
        if whole == count:
            return drawn
        return drawn[self.rank * count : (self.rank + 1) * count] - self.rank * count


def shared_axis(joint: Sequence[int], share: Sequence[int], size: int) -> int | None:
    """The axis along which ``size`` tensors of the one shape make up one of the other; None where there is none."""
    if len(joint) != len(share):
        return None
    differing = [axis for axis, (a, b) in enumerate(zip(joint, share, strict=True)) if a != b]
    if len(differing) != 1 or joint[differing[0]] != size * share[differing[0]]:
        return None
    return differing[0]
