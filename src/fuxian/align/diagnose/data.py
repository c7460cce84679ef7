"""Why two batches differ: from the leaves of both sides' first batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations

import numpy as np

from fuxian.align.diagnose.tried import Hypothesis, best, error, number
from fuxian.align.divergence import Diagnosis, Divergence
from fuxian.align.recording import Recording

MANY = 4096
"""Rows beyond which samples are not searched for."""


def diagnose(divergence: Divergence) -> Diagnosis | None:
    """The cause of other batches."""
    if divergence.recordings is None:
        return None
    kind = divergence.stage.split("_")[0]
    port, reference = divergence.recordings
    leaves = _leaves(port, reference, kind)
    numbers = [side.stages.get(divergence.stage, {}) for side in (port, reference)]
    if not leaves:
        return None
    differing = {leaf: pairs for leaf, pairs in leaves.items() if _differ(pairs)}
    short = _batches(differing or leaves, numbers, same_elements=not differing)
    if short is not None:
        return short
    order = _order(differing)
    if order is not None:
        return order
    name = divergence.place if divergence.place in differing else next(iter(differing), None)
    if name is None:
        return None
    # A difference in the model's inputs comes before one in the targets that hang on them.
    diagnosis = _leaf(differing[name], _is_label(name, differing[name]), kind)
    if diagnosis is None and kind == "train":
        return Diagnosis(
            "augmentation", "the examples differ, by no flip, crop, order or normalisation alone"
        )
    return diagnosis


Pairs = list[tuple[np.ndarray, np.ndarray]]


def _leaves(port: Recording, reference: Recording, kind: str) -> dict[str, Pairs]:
    """The batches of each leaf, port's and reference's, where both were kept."""
    prefix = f"data/{kind}/"
    found: dict[str, Pairs] = {}
    for name in reference.names(prefix):
        leaf = name.split("/", 1)[1]
        found.setdefault(leaf, [])
        full = prefix + name
        if full in port and port.kept(full) and reference.kept(full):
            found[leaf].append((port.get(full), reference.get(full)))
    return found


def _differ(pairs: Pairs) -> bool:
    return any(one.shape != two.shape or error(one, two) > 1e-6 for one, two in pairs)


def _is_label(leaf: str, pairs: Pairs) -> bool:
    return leaf.startswith("targets") or all(two.dtype.kind in "iub" and two.ndim < 2 for _, two in pairs)


def _batches(leaves: dict[str, Pairs], numbers: list[dict], *, same_elements: bool) -> Diagnosis | None:
    """Other sizes or another number of batches of the same examples."""
    ours, theirs = (entry.get("length") or entry.get("batches") for entry in numbers)
    pairs = next(iter(leaves.values()))
    sizes = [(len(one), len(two)) for one, two in pairs if one.ndim and two.ndim and one.shape != two.shape]
    if sizes and all(one.shape[1:] == two.shape[1:] for one, two in pairs if one.ndim and two.ndim):
        return Diagnosis(
            "batch_composition",
            f"the port's batch holds {sizes[0][0]} examples, the reference's {sizes[0][1]}",
        )
    if ours != theirs and same_elements:
        word = "drops" if (ours or 0) < (theirs or 0) else "keeps"
        evidence = f"the port has {ours} batches, the reference {theirs}, and those in common agree: it {word} a batch"
        return Diagnosis("batch_composition", evidence)
    return None


def _order(differing: dict[str, Pairs]) -> Diagnosis | None:
    """The same examples in another order: every leaf's rows, up to one permutation."""
    if not differing:
        return None
    moved = total = 0
    for pairs in differing.values():
        if not pairs or any(one.shape[1:] != two.shape[1:] or not one.ndim for one, two in pairs):
            return None
        rows = [np.concatenate([p[i] for p in pairs]).astype(np.float64) for i in (0, 1)]
        rows = [r.reshape(len(r), -1) for r in rows]
        if max(len(r) for r in rows) > MANY or min(len(r) for r in rows) == 0:
            return None
        if rows[0].shape[1] == 1:
            if len(differing) == 1 or not np.array_equal(np.sort(rows[0], 0), np.sort(rows[1], 0)):
                return None
            continue
        # What does not change when an example is flipped or rotated.
        keys = [(r**3).sum(1) + np.pi * (r**2).sum(1) + np.e * r.sum(1) for r in rows]
        scale = 1e-5 * max(float((np.abs(rows[1]) ** 3).sum(1).max()), float(np.abs(keys[1]).max()))
        places = np.abs(keys[0][:, None] - keys[1][None]).argmin(1)
        known = np.abs(keys[0] - keys[1][places]) <= scale
        # An example may lie in a batch that was not recorded, where only the first ones were.
        if known.mean() < 0.5:
            return None
        common = min(len(keys[0]), len(keys[1]))
        stays = np.abs(keys[0][:common] - keys[1][:common]) <= scale
        moved += int((known[:common] & ~stays).sum())
        total += len(rows[0])
    if moved < max(2, 0.2 * total):
        return None
    return Diagnosis(
        "shuffling", f"in another order the examples are the same: {moved} of {total} lie elsewhere"
    )


def _leaf(pairs: Pairs, label: bool, kind: str) -> Diagnosis | None:
    """One leaf's elements: what makes the reference's of the port's."""
    usable = [
        (one.astype(np.float64), two.astype(np.float64)) for one, two in pairs if one.shape == two.shape
    ]
    if not usable:
        if any(one.ndim != two.ndim or one.shape[1:] != two.shape[1:] for one, two in pairs):
            one, two = pairs[0]
            cause = "label_mapping" if label else "resize" if one.ndim == two.ndim == 4 else "shape"
            return Diagnosis(cause, f"shape {list(one.shape)} in place of {list(two.shape)}")
        return None
    integral = all(two.dtype.kind in "iub" for _, two in pairs)
    tried = list(_label_hypotheses(usable) if label or integral else ())
    if label and not integral:
        tried += [
            Hypothesis("label_mapping", h.change, h.before, h.after, h.cost)
            for h in _value_hypotheses(usable)
        ]
    elif not integral:
        tried += _value_hypotheses(usable)
        tried += _picture_hypotheses(usable, kind)
    elif not label:
        tried += _token_hypotheses(usable)
    chosen = best(tried)
    if chosen is not None:
        return chosen.diagnosis()
    cut = _cut(usable) if integral and not label else None
    if cut is not None:
        return cut
    if not integral and not label and _monotonous(usable):
        return Diagnosis(
            "input_normalisation", "the elements keep their order, but go through another function"
        )
    share = float(np.mean([(one != two).mean() for one, two in usable]))
    if label:
        return Diagnosis("label_mapping", f"{share:.1%} of the labels differ, by no single mapping or offset")
    if kind == "train" and usable[0][0].ndim == 4:
        return Diagnosis(
            "augmentation", f"{share:.1%} of the elements differ, by no flip, shift or normalisation alone"
        )
    if usable[0][0].ndim == 4:
        return Diagnosis(
            "resize", f"{share:.1%} of the elements differ, by no normalisation, order or shift alone"
        )
    return None


def _error(pairs: Pairs) -> float:
    return max(error(one, two) for one, two in pairs)


def _label_hypotheses(pairs: Pairs) -> Iterator[Hypothesis]:
    before = _error(pairs)
    one, two = (np.concatenate([p[i].reshape(-1) for p in pairs]) for i in (0, 1))
    offsets = np.unique(two - one)
    if offsets.size == 1:
        yield Hypothesis("index_offset" if pairs[0][0].ndim > 1 else "label_mapping",
                         f"with {number(offsets[0])} added", before, error(one + offsets[0], two), 0)  # fmt: skip
    mapping: dict[float, float] = {}
    if (
        all(mapping.setdefault(a, b) == b for a, b in zip(one, two, strict=True))
        and len(mapping) < max(one.size, 2)
        and (len(set(mapping.values())) > 1 or len(mapping) == 1)
    ):
        changed = [f"{a:g}->{b:g}" for a, b in mapping.items() if a != b][:4]
        made = np.array([mapping[a] for a in one])
        yield Hypothesis(
            "label_mapping", f"numbered anew ({', '.join(changed)})", before, error(made, two), 2
        )
    for shift in (1, -1):
        moved = [(np.roll(a, shift, -1), b) for a, b in pairs if a.ndim > 1]
        inner = [(a[..., 1:], b[..., 1:]) if shift > 0 else (a[..., :-1], b[..., :-1]) for a, b in moved]
        if inner:
            yield Hypothesis(
                "index_offset",
                f"moved by {shift} along the last axis, its end left out,",
                before,
                _error(inner),
                1,
            )


def _token_hypotheses(pairs: Pairs) -> Iterator[Hypothesis]:
    """Sequences of numbers: padded or cut at the other end."""
    before = _error(pairs)
    yield Hypothesis("permutation", "turned round", before, _error([(a[..., ::-1], b) for a, b in pairs]), 2)
    for padding in {float(v) for _, two in pairs for v in (two[..., -1].min(), two[..., 0].min())}:
        for cause, words, left in (
            ("padding", "padded at the end", False),
            ("padding", "padded at the start", True),
        ):
            made = [(_packed(one, padding, left), two) for one, two in pairs]
            yield Hypothesis(cause, words, before, _error(made), 1)


def _cut(pairs: Pairs) -> Diagnosis | None:
    """Sequences cut at the other end: what the two sides have in common is the same, moved."""
    rows = [(a, b) for one, two in pairs if one.ndim > 1 for a, b in zip(one, two, strict=True)]
    overlaps = [_overlap(a, b) for a, b in rows if not np.array_equal(a, b)]
    if not overlaps or not min(overlaps):
        return None
    evidence = (
        f"{len(overlaps)} of {len(rows)} rows are cut at the other end: each overlaps the reference's by"
        f" {min(overlaps)} elements or more"
    )
    return Diagnosis("resize", evidence)


def _packed(rows: np.ndarray, padding: float, left: bool) -> np.ndarray:
    made = np.full_like(rows, padding)
    for i in np.ndindex(rows.shape[:-1]):
        kept = rows[i][rows[i] != padding]
        if left:
            made[i][made.shape[-1] - len(kept) :] = kept
        else:
            made[i][: len(kept)] = kept
    return made


def _overlap(one: np.ndarray, two: np.ndarray) -> int:
    """How many elements the end of one row shares with the start of the other, in either direction."""
    found = 0
    for shift in range(1, len(one)):
        if np.array_equal(one[shift:], two[:-shift]) or np.array_equal(one[:-shift], two[shift:]):
            found = len(one) - shift
            break
    return found


def _channels(array: np.ndarray) -> tuple[int, ...]:
    """Axes that may hold channels."""
    return tuple(a for a in range(1, array.ndim) if 1 < array.shape[a] <= 4) if array.ndim > 2 else ()


def _value_hypotheses(pairs: Pairs) -> Iterator[Hypothesis]:
    before = _error(pairs)
    for axis in (None, *_axes(pairs)):
        made, words = _least_squares(pairs, axis)
        cost = 1 if axis is None else 2
        yield Hypothesis("input_normalisation", words, before, _error(made), cost)
    functions: dict[str, Callable[[np.ndarray], np.ndarray]] = {
                 "log(1+x)": np.log1p, "log": np.log, "exp(x)-1": np.expm1, "exp": np.exp, "square": np.square,
                 "square root": np.sqrt, "tanh": np.tanh, "sigmoid": lambda x: 1 / (1 + np.exp(-x))}  # fmt: skip
    for name, function in functions.items():
        with np.errstate(all="ignore"):
            made = [(function(one), two) for one, two in pairs]
        yield Hypothesis("input_normalisation", f"with {name} applied", before, _error(made), 2)
    for low, high in {(float(two.min()), float(two.max())) for _, two in pairs}:
        made = [(np.clip(one, low, high), two) for one, two in pairs]
        yield Hypothesis("input_normalisation", f"clipped to {low:.4g}..{high:.4g}", before, _error(made), 3)
    for low, high in {(float(one.min()), float(one.max())) for one, _ in pairs}:
        made = [(np.clip(two, low, high), one) for one, two in pairs]
        words = f"against the reference's elements clipped to {low:.4g}..{high:.4g}"
        yield Hypothesis("input_normalisation", words, before, _error(made), 3)


def _axes(pairs: Pairs) -> list[int]:
    one = pairs[0][0]
    return sorted({*_channels(one), one.ndim - 1 if one.ndim > 1 and one.shape[-1] <= 64 else 0} - {0})


def _least_squares(pairs: Pairs, axis: int | None) -> tuple[Pairs, str]:
    """Scale and shift, per index of the axis, that bring the port's elements nearest to the reference's."""
    if axis is None:
        one, two = (np.concatenate([p[i].reshape(-1) for p in pairs]) for i in (0, 1))
        slope, shift = np.polyfit(one, two, 1) if np.ptp(one) else (1.0, float((two - one).mean()))
        return [(a * slope + shift, b) for a, b in pairs], f"times {slope:.6g} plus {shift:.6g}"
    slopes, shifts = [], []
    for i in range(pairs[0][0].shape[axis]):
        one, two = (np.concatenate([np.take(p[k], i, axis).reshape(-1) for p in pairs]) for k in (0, 1))
        slope, shift = np.polyfit(one, two, 1) if np.ptp(one) else (1.0, float((two - one).mean()))
        slopes.append(slope)
        shifts.append(shift)
    shape = [-1 if a == axis else 1 for a in range(pairs[0][0].ndim)]
    made = [(a * np.reshape(slopes, shape) + np.reshape(shifts, shape), b) for a, b in pairs]
    return made, f"times {number(slopes[:4])} plus {number(shifts[:4])} along axis {axis}"


def _picture_hypotheses(pairs: Pairs, kind: str) -> Iterator[Hypothesis]:
    before = _error(pairs)
    one = pairs[0][0]
    for axis in _channels(one):
        for order in permutations(range(one.shape[axis])):
            if list(order) != sorted(order):
                made = [(np.take(a, order, axis), b) for a, b in pairs]
                yield Hypothesis(
                    "channel_order", f"with channels in the order {list(order)}", before, _error(made), 0
                )
                fitted, words = _least_squares(made, axis)
                yield Hypothesis("channel_order", f"with channels in the order {list(order)}, {words},", before,
                                 _error(fitted), 4)  # fmt: skip
    for axes in permutations(range(1, one.ndim)):
        made = [(np.transpose(a, (0, *axes)), b) for a, b in pairs]
        if list(axes) != sorted(axes):
            yield Hypothesis("permutation", f"with axes {[0, *axes]}", before, _error(made), 1)
    if one.ndim >= 3:
        yield from _flips(pairs, kind, before)
        yield from _shifts(pairs, before)


def _flips(pairs: Pairs, kind: str, before: float) -> Iterator[Hypothesis]:
    """Each example turned round, or not."""
    for axis in range(1, pairs[0][0].ndim):
        made, flipped = [], 0
        for one, two in pairs:
            rows = one.copy()
            for i in range(len(rows)):
                turned = np.flip(rows[i], axis - 1)
                if np.abs(turned - two[i]).max() < np.abs(rows[i] - two[i]).max():
                    rows[i], flipped = turned, flipped + 1
            made.append((rows, two))
        count = sum(len(one) for one, _ in pairs)
        cause = "augmentation" if kind == "train" or flipped < count else "permutation"
        yield Hypothesis(
            cause, f"with {flipped} of {count} examples flipped along axis {axis}", before, _error(made), 1
        )


def _shifts(pairs: Pairs, before: float) -> Iterator[Hypothesis]:
    """Another crop: where the two windows overlap, the elements are the same."""
    one = pairs[0][0]
    axes = [a for a in range(1, one.ndim) if a not in _channels(one)][-2:]
    if len(axes) < 2 or min(one.shape[a] for a in axes) < 8:
        return
    reach = [min(one.shape[a] // 2, 8) for a in axes]
    for down in range(-reach[0], reach[0] + 1):
        for right in range(-reach[1], reach[1] + 1):
            if down or right:
                moved = [
                    (_window(a, axes, (down, right)), _window(b, axes, (-down, -right))) for a, b in pairs
                ]
                if error(*moved[0]) < 0.01 * before:
                    change = f"where crops {down} rows and {right} columns apart overlap,"
                    yield Hypothesis("resize", change, before, _error(moved), 1)


def _window(array: np.ndarray, axes: list[int], shift: tuple[int, int]) -> np.ndarray:
    chosen: list[slice] = [slice(None)] * array.ndim
    for axis, step in zip(axes, shift, strict=True):
        chosen[axis] = slice(step, None) if step >= 0 else slice(None, step)
    return array[tuple(chosen)]


def _monotonous(pairs: Pairs) -> bool:
    one, two = (np.concatenate([p[i].reshape(-1) for p in pairs])[:MANY] for i in (0, 1))
    order = np.lexsort((two, one))
    return np.unique(one).size > 2 and bool((np.diff(two[order]) >= -1e-9 * (np.abs(two).max() or 1)).all())
