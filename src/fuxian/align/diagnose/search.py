"""A call is run again in numpy with each of its settings changed, until it gives a tensor that the other side has.

This needs no counterpart call: what one side computes in one call the other may compute in ten. A change that gives
the other side's tensor is proven.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from fuxian.align import sketch as sketches
from fuxian.align.diagnose.recompute import Run, rerun
from fuxian.align.diagnose.tried import Hypothesis, best, error, number
from fuxian.align.diagnose.view import View
from fuxian.align.divergence import Diagnosis, Divergence
from fuxian.align.locate import Graph
from fuxian.align.tracing import Call, plain

SAME = 1e-6
"""Relative error up to which a call that is run again gives what was recorded."""
MOST = 4_000_000
"""Elements of an output beyond which a call is not run again."""


def diagnose(divergence: Divergence, seen: View) -> Diagnosis | None:
    """The change of a setting that makes the first call that differs give what the other side has."""
    tried: list[Hypothesis] = []
    for which in (0, 1):
        scene = seen.scenes[which]
        other = (seen.reference, seen.port)[which]
        if scene is None or scene.call is None:
            continue
        run = rerun(scene, scene.call, partial(_parameter, divergence, which))
        own = seen.tensor(which, scene.call.outputs[0]) if scene.call.outputs else None
        if run is None or (own is None and scene.call.outputs):
            continue
        if own is not None and (own.dtype.kind != "f" or own.size > MOST or not error(run(), own) <= SAME):
            continue
        tried += _of_run(run, own, other, seen, which, scene.call)
    tried += [found for which in (0, 1) for found in _of_weight_norm(divergence, seen, which)]
    chosen = best(tried)
    return None if chosen is None else chosen.diagnosis()


def _of_weight_norm(divergence: Divergence, seen: View, which: int) -> Iterator[Hypothesis]:
    """The direction v and length g of a weight put together along each axis: which of them the other side has."""
    scene = seen.scenes[which]
    names = dict.fromkeys(n for call in (scene.calls if scene is not None else ()) for n in call.inputs)
    for name in names:
        if not name.startswith("parameters.") or not name.endswith("weight_v"):
            continue
        v, g = (_parameter(divergence, which, n) for n in (name, name[:-1] + "g"))
        if v is None or g is None:
            continue
        side, other = (seen.port, seen.reference) if which == 0 else (seen.reference, seen.port)
        made = {}
        for axis in range(v.ndim):
            if g.size == v.shape[axis]:
                shape = [-1 if a == axis else 1 for a in range(v.ndim)]
                length = np.sqrt((v**2).sum(tuple(a for a in range(v.ndim) if a != axis), keepdims=True))
                made[axis] = v * g.reshape(shape) / length
        arrays = list(made.values())
        # Where a hook makes the weight only the result shows it.
        gives = _gives(divergence, seen, which, arrays)
        held = [gives if any(gives) else [_holds(side, array) for array in arrays],
                [_holds(other, array) for array in arrays]]  # fmt: skip
        if sum(held[0]) == sum(held[1]) == 1 and held[0] != held[1]:
            axes = [list(made)[found.index(True)] for found in held]
            who = ("port", "reference") if which == 0 else ("reference", "port")
            words = f"the {who[0]}'s weight_norm keeps axis {axes[0]} of {name[11:]}, the {who[1]}'s axis {axes[1]}:"
            before = error(arrays[held[0].index(True)], arrays[held[1].index(True)])
            yield Hypothesis("normalised_axes", f"{words} with the same axis", before, 1e-15, 0)


def _gives(divergence: Divergence, seen: View, which: int, weights: list[np.ndarray]) -> list[bool]:
    """With which weights the scene's first call gives what was recorded."""
    scene = seen.scenes[which]
    call = scene.call if scene is not None else None
    own = seen.tensor(which, call.outputs[0]) if call is not None and call.outputs else None
    run = (
        rerun(scene, call, partial(_parameter, divergence, which))
        if scene is not None and call is not None
        else None
    )
    if run is None or own is None:
        return [False] * len(weights)
    found = []
    for weight in weights:
        turned = scene is not None and scene.framework == "paddle" and run.operation == "linear"
        run.tensors["weight"] = weight.T if turned else weight
        found.append(error(run(), own) <= SAME)
    return found


def _holds(side: Graph, array: np.ndarray) -> bool:
    """Whether a tensor of the side has these elements."""
    vector = sketches.sketch(array)
    names = dict.fromkeys(n for call in side.calls for n in (*call.inputs, *call.outputs))
    return any(
        (theirs := side.sketch(name)) is not None and sketches.same_elements(vector, theirs, 1e-6)
        for name in names
    )


def _parameter(divergence: Divergence, which: int, identity: str) -> np.ndarray | None:
    name = identity.removeprefix("parameters.")
    if which == 0:
        return divergence.to_port(name) if divergence.to_port is not None else None
    full = f"weights/{name}"
    recording = divergence.recordings[1] if divergence.recordings is not None else None
    return (
        recording.get(full) if recording is not None and full in recording and recording.kept(full) else None
    )


def _of_run(
    run: Run, own: np.ndarray | None, other: Graph, seen: View, which: int, call: Call
) -> Iterator[Hypothesis]:
    wanted = _other_tensors(other, seen, which, call.section)
    for cause, words, made in variants(run):
        if made is None or made.dtype.kind != "f" or not np.isfinite(made).all():
            continue
        if own is not None and error(made, own) <= SAME:
            continue
        vector = sketches.sketch(made)
        for name in wanted.get(float(vector[sketches.COUNT]), ()):
            theirs = other.sketch(name)
            if theirs is None or not _same(vector, theirs):
                continue
            before, after = (
                _apart(own, other, seen, 1 - which, name),
                max(sketches.error(vector, theirs), 1e-16),
            )
            if after > 1e-4:
                after = 1e-7  # The same elements, laid out in another way.
            side = ("the port's", "the reference's")[which]
            given = ("the reference's", "the port's")[which]
            text = f"run with {words}, {side} {plain(call.operation)} gives {given} tensor:"
            yield Hypothesis(cause, text, before, after, 1)
            break


def _same(one: np.ndarray, two: np.ndarray) -> bool:
    if one[sketches.COUNT] == 1:  # One number alone is soon hit.
        return bool(abs(one[sketches.SUM] - two[sketches.SUM]) <= 1e-9 * abs(two[sketches.SUM]) != 0)
    return two[sketches.LOW] != two[sketches.HIGH] and sketches.same_elements(one, two, 2e-7)


def _other_tensors(other: Graph, seen: View, which: int, section: str) -> dict[float, list[str]]:
    """What the other side's calls of this section gave and this side does not have, by the number of elements."""
    agreeing = seen.same_in_reference if which else seen.same_in_port
    found: dict[float, list[str]] = {}
    for call in other.calls:
        if call.section != section:
            continue
        for name in call.outputs:
            vector = other.sketch(name)
            if vector is not None and not agreeing(name):
                found.setdefault(float(vector[sketches.COUNT]), []).append(name)
    return found


def _apart(own: np.ndarray | None, other: Graph, seen: View, which: int, name: str) -> float:
    """How far the call's own result lies from the other side's tensor."""
    if own is None:
        return float("inf")
    theirs = seen.tensor(which, name)
    if theirs is not None and theirs.size == own.size:
        return error(own.reshape(-1), theirs.reshape(-1))
    vector = other.sketch(name)
    return sketches.error(sketches.sketch(own), vector) if vector is not None else 1.0


def variants(run: Run) -> Iterator[tuple[str, str, np.ndarray | None]]:
    """Cause, change in words, and result of a call with one setting as users mix it up."""
    settings = run.settings
    for name, (cause, values) in _VALUES.items():
        if name not in settings:
            continue
        for value in values:
            if value != settings[name] and type(value) is type(settings[name]):
                yield (
                    cause,
                    f"{name}={number(value)} in place of {number(settings[name])}",
                    run(**{name: value}),
                )
    if run.operation == "ctc_loss":
        yield from _ctc_variants(run)
    for power in range(-12, 0) if "epsilon" in settings else ():
        words = f"epsilon={number(10.0**power)} in place of {number(settings['epsilon'])}"
        yield "epsilon", words, run(epsilon=10.0**power)
    if run.operation in ("cross_entropy", "softmax", "log_softmax"):
        for axis in range(run.tensors["x"].ndim):
            words = f"axis={axis} in place of {settings.get('axis')}"
            yield "softmax_axis" if "softmax" in run.operation else "axis", words, run(axis=axis)
    if "pool" in run.operation:
        for kernel in (1, 2, 3, 4, 5):
            if settings.get("kernel_size") != kernel and "adaptive" not in run.operation:
                yield "kernel_size", f"kernel_size={kernel}", run(kernel_size=kernel)
    if "conv" in run.operation or "pool" in run.operation:
        for name in ("padding", "stride", "dilation"):
            for value in range(4):
                if (value or name == "padding") and settings.get(name) != value and name in settings:
                    yield name, f"{name}={value} in place of {number(settings[name])}", run(**{name: value})
    if run.operation == "leaky_relu":
        for slope in (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.3, 1 / 3, 0.5):
            if not np.isclose(slope, float(settings.get("negative_slope", 0.01))):
                yield "activation_form", f"negative_slope={slope:.4g}", run(negative_slope=slope)


def _ctc_variants(run: Run) -> Iterator[tuple[str, str, np.ndarray | None]]:
    each = run(reduction="none")
    if each is None:
        return
    lengths = np.maximum(run.tensors["lengths"].astype(float), 1.0)
    steps = np.maximum(run.tensors["steps"].astype(float), 1.0)
    for words, made in (
        ("the sum of the sequences' losses", each.sum()),
        ("the mean of the sequences' losses", each.mean()),
        ("the mean of the losses, each divided by its number of labels", (each / lengths).mean()),
        ("the mean of the losses, each divided by its number of steps", (each / steps).mean()),
        ("the sum divided by the number of labels", each.sum() / lengths.sum()),
        ("no reduction", each),
    ):
        yield "reduction", f"{words} in place of reduction={run.settings.get('reduction')}", np.asarray(made)
    blank, last = int(run.settings.get("blank", 0)), run.tensors["x"].shape[-1] - 1
    for value in {0, last} - {blank}:
        yield "ignore_index", f"blank={value} in place of {blank}", run(blank=value)


_FLAGS = (True, False)
_VALUES: dict[str, tuple[str, tuple]] = {
    "align_corners": ("align_corners", _FLAGS),
    "align_mode": ("align_corners", (0, 1)),
    "aligned": ("align_corners", _FLAGS),
    "sampling_ratio": ("kernel_size", (-1, 1, 2, 3, 4)),
    "ceil_mode": ("ceil_mode", _FLAGS),
    "count_include_pad": ("count_include_pad", _FLAGS),
    "approximate": ("activation_form", _FLAGS),
    "time_first": ("axis", _FLAGS),
    "use_batch": ("bn_statistics", _FLAGS),
    "is_causal": ("attention_mask", _FLAGS),
    "is_huber": ("loss_form", _FLAGS),
    "transposed": ("transposed_weight", _FLAGS),
    "mode": ("interpolation_mode", ("nearest", "bilinear", "bicubic", "area", "linear", "trilinear")),
    "padding_mode": ("padding_mode", ("zeros", "border", "reflection", "reflect", "replicate", "circular")),
    "reduction": ("reduction", ("mean", "sum")),
    "num_groups": ("groups", (1, 2, 4, 8, 16, 32)),
    "label_smoothing": ("label_smoothing", (0.0, 0.05, 0.1, 0.2)),
    "ignore_index": ("ignore_index", (-100, 255, 0, -1)),
    "delta": ("loss_form", (0.1, 0.5, 1.0, 1 / 9, 2.0)),
}
"""The cause that a setting stands for, and the values that are tried."""
