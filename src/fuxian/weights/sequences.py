"""Pairs the layers of two trees along the order in which they run: what differs costs its own layers and no others.

The two sequences of layers are aligned so that the sum over all pairs of how alike they are is largest (Needleman and
Wunsch, 1970), a layer on one side alone costing nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from fuxian.weights.layout import Node, Tree, squashed, squeezed
from fuxian.weights.matching import Layouts, Matcher, Matching, alike_arithmetic, join_fused, settled, units

NOWHERE = 10**9
"""The place in the order of a layer that did not run."""


def match_in_order(
    port: Tree,
    reference: Tree,
    orders: tuple[Mapping[str, int], Mapping[str, int]],
    layouts: Layouts | None = None,
) -> Matching:
    """Pair every piece of two trees whose tensors were first used in the ``orders`` given (tensor's name -> number)."""
    port, reference = join_fused(port, reference)
    ours, theirs = (
        sorted(units(tree.root), key=partial(_first_use, order=order))
        for tree, order in zip((port, reference), orders, strict=True)
    )
    pairs = _aligned(ours, theirs)
    left = [
        [n for n in side if all(n is not pair[i] for pair in pairs)] for i, side in enumerate((ours, theirs))
    ]
    pairs += _of_one_kind(*left)
    taken = {id(node) for pair in pairs for node in pair}

    def run(matcher: Matcher) -> None:
        for one, two in pairs:
            matcher.units(one, two, "name" if squashed(one.path) == squashed(two.path) else "order")
        matcher.leave([n for n in ours if id(n) not in taken], [n for n in theirs if id(n) not in taken])
        matcher.rest()

    return settled(lambda told: Matcher(port, reference, told), run, layouts)


def _first_use(node: Node, order: Mapping[str, int]) -> int:
    return min((order.get(piece.place.tensor, NOWHERE) for piece in node.all_pieces()), default=NOWHERE)


def _kind(node: Node) -> tuple[str | None, tuple]:
    return node.family, tuple(node.signature())


def _aligned(ours: Sequence[Node], theirs: Sequence[Node]) -> list[tuple[Node, Node]]:
    """The pairs of the best alignment of two sequences."""
    scores = np.zeros((len(ours), len(theirs)))
    known: dict[tuple, float] = {}
    kinds = [[_kind(node) for node in side] for side in (ours, theirs)]
    names = [[_names(node) for node in side] for side in (ours, theirs)]
    for i in range(len(ours)):
        for j in range(len(theirs)):
            key = (kinds[0][i], kinds[1][j])
            if key not in known:
                known[key] = _likeness(ours[i], theirs[j])
            if known[key]:
                scores[i, j] = known[key] + _named_alike(names[0][i], names[1][j])
    best = np.zeros((len(ours) + 1, len(theirs) + 1))
    for i in range(len(ours)):
        row = np.maximum(best[i, 1:], best[i, :-1] + np.where(scores[i] > 0, scores[i], -np.inf))
        best[i + 1, 1:] = np.maximum.accumulate(row)
    pairs = []
    i, j = len(ours), len(theirs)
    while i and j:
        if best[i, j] == best[i, j - 1]:
            j -= 1
        elif best[i, j] == best[i - 1, j]:
            i -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((ours[i], theirs[j]))
    return pairs[::-1]


def _likeness(one: Node, two: Node) -> float:
    """How alike two layers are by what they hold, 0 where they cannot be each other's."""
    unknown = None in (one.family, two.family)
    if not unknown and not alike_arithmetic(one, two):
        return 0.0
    if one.signature() == two.signature():
        return 6.0 if one.family == two.family else 5.0
    ranks = [sorted(len(squeezed(piece.shape)) for piece in node.pieces) for node in (one, two)]
    shared = {tuple(sorted(squeezed(p.shape))) for p in one.pieces} & {
        tuple(sorted(squeezed(p.shape))) for p in two.pieces
    }
    if shared and not unknown:
        return 4.0
    return 1.0 if ranks[0] == ranks[1] and not unknown else 0.0


def _names(node: Node) -> tuple[str, list[str]]:
    return squashed(node.path), [squashed(part) for part in node.path.split(".")]


def _named_alike(one: tuple[str, list[str]], two: tuple[str, list[str]]) -> float:
    """Names decide between layers that are alike otherwise."""
    last = one[1][-1] == two[1][-1] and not one[1][-1].isdigit()
    return 1.5 * (one[0] == two[0]) + 0.8 * last + 0.2 * (one[1][0] == two[1][0])


def _of_one_kind(ours: Sequence[Node], theirs: Sequence[Node]) -> list[tuple[Node, Node]]:
    """Of what the order leaves: layers of one name, or the only ones of their kind."""
    pairs: list[tuple[Node, Node]] = []
    for key in (lambda n: (squashed(n.path), *_kind(n)), lambda n: (squashed(n.name), *_kind(n)), _kind):
        taken = {id(node) for pair in pairs for node in pair}
        left = [[n for n in side if id(n) not in taken] for side in (ours, theirs)]
        keys = [[key(n) for n in side] for side in left]
        for node, name in zip(left[0], keys[0], strict=True):
            if keys[0].count(name) == keys[1].count(name) == 1:
                pairs.append((node, left[1][keys[1].index(name)]))
    return pairs
