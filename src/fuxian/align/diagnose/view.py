"""The two recorded graphs around a divergence, and what of their tensors agrees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fuxian.align.divergence import Divergence, Scene
from fuxian.align.locate import Agreement, Graph, agreement, graph
from fuxian.align.stages import pair
from fuxian.align.tracing import Call, plain

PASSIVE = {
    "reshape", "flatten", "transpose", "unsqueeze", "squeeze", "cast", "expand", "detach", "clone", "contiguous",
    "assign", "identity", "zeros_like", "ones_like", "tile", "repeat", "to_tensor", "chunk", "unbind", "split",
    "stack", "dropout", "alias",
}  # fmt: skip
"""Operations that move elements, or do nothing in evaluation mode."""
PREFIXES = {"loss": "loss", "training_mode": "train", "higher_order": "train", "training_steps": "train"}


@dataclass
class View:
    """Both graphs of the stage, with the tensors that agree (port's name -> reference's names, and back)."""

    port: Graph
    reference: Graph
    agrees: Agreement
    scenes: tuple[Scene | None, Scene | None]

    def tensor(self, side: int, name: str) -> np.ndarray | None:
        """A tensor's elements, from the scene or the recording; None where only a sketch was kept."""
        scene, made = self.scenes[side], (self.port, self.reference)[side]
        if scene is not None and name in scene.tensors:
            return scene.tensors[name]
        full = f"{made.prefix}/values/{name}"
        if full in made.recording and made.recording.kept(full):
            return made.recording.get(full)
        return None

    def same_in_reference(self, name: str) -> list[str]:
        return self.agrees.port.get(name, [])

    def same_in_port(self, name: str) -> list[str]:
        return self.agrees.reference.get(name, [])


def view(divergence: Divergence) -> View | None:
    """The graphs of the divergence's stage; None without recordings."""
    if divergence.recordings is None:
        return None
    both = pair(*divergence.recordings)
    prefix = PREFIXES.get(divergence.stage, "eval")
    port, reference = graph(both.port, prefix), graph(both.reference, prefix)
    if not port.calls or not reference.calls:
        return None
    tolerance = (
        min(max(1e-9, divergence.tolerance), max(1e-9, divergence.error / 10))
        if divergence.error > 0
        else 1e-9
    )
    agrees = agreement(port, reference, both, min(tolerance, 1e-3))
    return View(port, reference, agrees, (divergence.port, divergence.reference))


def descendants(side: Graph, first: Call, limit: int = 12) -> list[Call]:
    """The first call and the next ones that hang on it, in execution order, of the same section."""
    found, reached = [first], set(first.outputs)
    for call in side.calls[first.index + 1 :]:
        if len(found) >= limit or call.section != first.section:
            break
        if reached & set(call.inputs):
            found.append(call)
            reached |= set(call.outputs)
    return found


def ancestors(side: Graph, name: str, limit: int = 200) -> set[str]:
    """Every tensor that a tensor was made of."""
    found: set[str] = set()
    waiting = [name]
    while waiting and len(found) < limit:
        call = side.maker.get(waiting.pop())
        for other in call.inputs if call is not None else ():
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found


def active(calls: list[Call]) -> list[Call]:
    """Without those that only move elements."""
    return [call for call in calls if plain(call.operation) not in PASSIVE]


def users(side: Graph, names: list[str], depth: int = 4) -> Iterator[Call]:
    """The active calls that use any of the tensors, also through passive ones."""
    seen: set[int] = set()
    for name in names:
        for call in side.users.get(name, ()):
            if call.index in seen:
                continue
            seen.add(call.index)
            if plain(call.operation) in PASSIVE and depth:
                yield from users(side, call.outputs, depth - 1)
            else:
                yield call


def in_attention(side: Graph, call: Call) -> bool:
    """Whether a softmax between two products of matrices is near, in the same module."""
    near = [c for c in side.calls if abs(c.index - call.index) <= 16 and c.path == call.path]
    operations = [plain(c.operation) for c in near]
    if any("attention" in operation for operation in operations):
        return True
    if not any(operation == "softmax" for operation in operations):
        return False
    return sum(operation in ("matmul", "einsum", "linear") for operation in operations) >= 2
