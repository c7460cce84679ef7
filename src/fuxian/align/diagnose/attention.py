"""Why an attention written in several calls differs: its queries, keys, values, scale, mask, axis and heads.

The parts are read off the recorded graphs: the product that makes the scores, the softmax, the product with the
values. Each side's parts are then compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fuxian.align.diagnose import relations
from fuxian.align.diagnose.tried import error, number
from fuxian.align.diagnose.view import View
from fuxian.align.divergence import Diagnosis
from fuxian.align.locate import Graph
from fuxian.align.tracing import Call, plain

HEAVY = ("linear", "conv", "norm", "pool", "embedding", "lstm", "gru", "interpolate", "entropy", "loss")
PRODUCTS = {"matmul", "einsum", "baddbmm"}


@dataclass
class Parts:
    """One side's attention; arrays are None where only sketches were kept."""

    softmax: Call
    names: list[str | None]
    query: np.ndarray | None
    key: np.ndarray | None
    value: np.ndarray | None
    scores: np.ndarray | None
    logits: np.ndarray | None
    weights: np.ndarray | None
    result: np.ndarray | None


def diagnose(seen: View, port: Call | None, reference: Call | None) -> Diagnosis | None:
    """The cause, where both places lie within an attention; None elsewhere."""
    ours = _parts(seen, 0, seen.port, port)
    theirs = _parts(seen, 1, seen.reference, reference)
    if ours is None and theirs is not None:
        ours = _counterpart(seen, 0, seen.port, theirs)
    if theirs is None and ours is not None:
        theirs = _counterpart(seen, 1, seen.reference, ours)
    if ours is None or theirs is None:
        return None
    return _order(ours, theirs) or _scores(seen, ours, theirs) or _heads(ours, theirs)


def _counterpart(seen: View, which: int, side: Graph, other: Parts) -> Parts | None:
    """The other side's softmax of the same path."""
    for call in side.calls:
        if plain(call.operation) == "softmax" and call.path == other.softmax.path:
            return _of_softmax(seen, which, side, call)
    return None


def _parts(seen: View, which: int, side: Graph, start: Call | None) -> Parts | None:
    """The attention whose softmax is reached from a call without leaving through a layer, or that ends in it."""
    if start is None:
        return None
    waiting = [start]
    found: set[int] = set()
    while waiting and len(found) < 60:
        call = waiting.pop(0)
        if call.index in found:
            continue
        found.add(call.index)
        operation = plain(call.operation)
        if operation == "softmax":
            parts = _of_softmax(seen, which, side, call)
            if parts is not None:
                return parts
        if call is not start and any(word in operation for word in HEAVY):
            continue
        waiting += [user for name in call.outputs for user in side.users.get(name, ())]
    # Behind the softmax: the place is where the values or the heads are joined.
    for call in reversed(side.calls[: start.index + 1]):
        if call.path != start.path and start.path:
            if any(word in plain(call.operation) for word in HEAVY):
                break
            continue
        if start.index - call.index > 8:
            break
        if plain(call.operation) == "softmax":
            return _of_softmax(seen, which, side, call)
    return None


def _of_softmax(seen: View, which: int, side: Graph, call: Call) -> Parts | None:
    product = _before(side, call)
    after = _after(side, call)
    if product is None or after is None or len(product.inputs) < 2:
        return None
    value = next((n for n in after.inputs if n not in _reach(side, call)), None)
    names = [product.inputs[0], product.inputs[1], value, product.outputs[0], call.inputs[0], call.outputs[0],
             after.outputs[0]]  # fmt: skip
    arrays = [None if name is None else seen.tensor(which, name) for name in names]
    return Parts(call, names, *arrays)


def _before(side: Graph, call: Call) -> Call | None:
    """The product of matrices that the softmax is of."""
    waiting, seen = list(call.inputs), 0
    while waiting and seen < 40:
        seen += 1
        made = side.maker.get(waiting.pop(0))
        if made is None:
            continue
        if plain(made.operation) in PRODUCTS:
            return made
        if not any(word in plain(made.operation) for word in HEAVY):
            waiting += made.inputs
    return None


def _reach(side: Graph, call: Call) -> set[str]:
    """What the softmax gives, also after dropout and the like."""
    reached = set(call.outputs)
    for other in side.calls[call.index + 1 : call.index + 12]:
        if plain(other.operation) in PRODUCTS or any(word in plain(other.operation) for word in HEAVY):
            continue
        if reached & set(other.inputs):
            reached |= set(other.outputs)
    return reached


def _after(side: Graph, call: Call) -> Call | None:
    reached = _reach(side, call)
    for other in side.calls[call.index + 1 : call.index + 14]:
        if plain(other.operation) in PRODUCTS and reached & set(other.inputs):
            return other
    return None


def _same_set(one: np.ndarray | None, two: np.ndarray | None) -> bool:
    """Whether two arrays have the same elements, in any order."""
    if one is None or two is None or one.size != two.size:
        return False
    return (
        error(np.sort(one.reshape(-1)).astype(np.float64), np.sort(two.reshape(-1)).astype(np.float64)) < 1e-7
    )


def _alike(one: np.ndarray | None, two: np.ndarray | None) -> bool:
    if one is None or two is None:
        return False
    return one.shape == two.shape and error(one, two) < 1e-7


def _order(ours: Parts, theirs: Parts) -> Diagnosis | None:
    """Query, key and value exchanged, or cut from the joint projection in another way."""
    words = ("query", "key", "value")
    mine, other = ([parts.query, parts.key, parts.value] for parts in (ours, theirs))
    if any(array is None for array in (*mine, *other)):
        return None
    roles = [next((j for j in (i, 0, 1, 2) if _same_set(mine[i], other[j])), None) for i in range(3)]
    if None not in roles and roles != [0, 1, 2]:
        told = ", ".join(
            f"{words[i]} is the reference's {words[j]}"
            for i, j in enumerate(roles)
            if i != j and j is not None
        )
        return Diagnosis("qkv_order", f"element by element, the port's {told}", proven=True)
    if roles == [0, 1, 2]:
        turned = [not _alike(a, b) for a, b in zip(mine, other, strict=True)]
        if any(turned) and all(a.shape == b.shape for a, b in zip(mine, other, strict=True)):  # type: ignore[union-attr]
            which = " and ".join(word for word, t in zip(words, turned, strict=True) if t)
            return Diagnosis(
                "head_order", f"the {which} has the reference's elements in another order", proven=True
            )
        return None
    joined = [np.concatenate([a.reshape(-1) for a in arrays]) for arrays in (mine, other)]  # type: ignore[union-attr]
    if _same_set(joined[0], joined[1]):
        evidence = (
            "query, key and value together hold the reference's elements, cut in another order of heads"
        )
        return Diagnosis("head_order", evidence)
    return None


def _scores(seen: View, ours: Parts, theirs: Parts) -> Diagnosis | None:
    """Scale, mask and softmax of the same scores."""
    agree = theirs.names[3] in seen.same_in_reference(str(ours.names[3]))
    if not agree and not _alike(ours.scores, theirs.scores) and _ratio(ours.scores, theirs.scores) is None:
        return None
    hidden = [_hidden(parts) for parts in (ours, theirs)]
    if hidden[0] is not None and hidden[1] is not None and hidden[0].shape == hidden[1].shape:
        apart = int((hidden[0] != hidden[1]).sum())
        if apart and _axis(ours) == _axis(theirs):
            words = (
                "the reverse"
                if (hidden[0] == ~hidden[1]).all()
                else f"at {apart} of {hidden[0].size} places another"
            )
            return Diagnosis(
                "attention_mask", f"of the same scores the port masks {words} than the reference", proven=True
            )
    axes = _axis(ours), _axis(theirs)
    if None not in axes and axes[0] != axes[1]:
        return Diagnosis(
            "softmax_axis",
            f"the port's softmax is over axis {axes[0]}, the reference's over axis {axes[1]}",
            proven=True,
        )
    if not _alike(ours.logits, theirs.logits):
        ratio = _ratio(ours.logits, theirs.logits)
        if ratio is not None and abs(ratio - 1) > 1e-7:
            before = error(ours.logits, theirs.logits)  # type: ignore[arg-type]
            after = error(ours.logits * ratio, theirs.logits)  # type: ignore[arg-type, operator]
            change = f"with the scores multiplied by {number(ratio)}"
            evidence = f"{change} the difference falls from {before:.2g} to {after:.2g}"
            return Diagnosis("attention_scale", evidence, proven=True)
        if ours.logits is None or theirs.logits is None:
            return None
        return Diagnosis("attention_mask", "what is added to the scores, or put in their place, is another")
    return None


def _hidden(parts: Parts) -> np.ndarray | None:
    """Where the softmax gives nothing."""
    if parts.weights is None:
        return None
    return ~(parts.weights > 1e-20)  # Paddle's softmax gives 1e-28 for nothing.


def _axis(parts: Parts) -> int | None:
    if parts.logits is None or parts.weights is None:
        return None
    return relations.softmax_axis(parts.logits, parts.weights)


def _ratio(one: np.ndarray | None, two: np.ndarray | None) -> float | None:
    if one is None or two is None or one.shape != two.shape:
        return None
    used = (np.abs(one) < 1e3) & (np.abs(two) < 1e3)
    if not used.any():
        return None
    a, b = one[used], two[used]
    ratio = float(a @ b / (a @ a)) if a.any() else 1.0
    return ratio if np.abs(a * ratio - b).max() <= 1e-7 * np.abs(b).max() else None


def _heads(ours: Parts, theirs: Parts) -> Diagnosis | None:
    """The same result, its heads joined in another way."""
    if _alike(ours.result, theirs.result):
        return Diagnosis("head_order", "the heads' results agree, and are joined in another order")
    return None
