"""Why a loss differs: one side's loss is run in numpy with a setting changed, until it gives the other's figure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np

from fuxian.align.diagnose import kernels, structure
from fuxian.align.diagnose.recompute import Run, rerun
from fuxian.align.diagnose.tried import Hypothesis, best, number
from fuxian.align.diagnose.view import View
from fuxian.align.divergence import Diagnosis, Divergence, Scene
from fuxian.align.locate import Graph
from fuxian.align.tracing import plain


def diagnose(divergence: Divergence, seen: View) -> Diagnosis | None:
    """The setting of a loss made in one call that explains the other side's figure."""
    if divergence.recordings is None:
        return None
    name = "total" if divergence.place in ("loss", "") else divergence.place
    figures = [_figure(side, f"loss/losses/{name}") for side in divergence.recordings]
    if None in figures:
        return None
    tried: list[Hypothesis] = []
    for which, scene in ((1, divergence.reference), (0, divergence.port)):
        side = (seen.port, seen.reference)[which]
        for run in _runs(seen, which, side, scene):
            own, other = figures[which], figures[1 - which]
            assert own is not None and other is not None  # noqa: S101
            itself = run()
            if itself is None or itself.size != 1 or abs(float(itself) - own) > 1e-5 * abs(own):
                continue
            before = abs(own - other) / max(abs(other), 1e-300)
            for cause, change, made in _variants(run):
                if made is not None and made.size == 1 and np.isfinite(made):
                    after = abs(float(made) - other) / max(abs(other), 1e-300)
                    own_side, other_side = ("reference", "port") if which else ("port", "reference")
                    words = f"run with {change}, the {own_side}'s loss gives the {other_side}'s figure:"
                    tried.append(Hypothesis(cause, words, before, after, 1))
    chosen = best(h for h in tried if h.after < 1e-5)
    if chosen is not None:
        return chosen.diagnosis()
    assert figures[0] is not None and figures[1] is not None  # noqa: S101
    return _reduced(divergence, seen, figures[0], figures[1])


def _reduced(divergence: Divergence, seen: View, mine: float, other: float) -> Diagnosis | None:
    """Other means and sums, and figures whose quotient is the number of elements along some of the axes."""
    chains, sizes = [], set()
    for side, scene in ((seen.port, divergence.port), (seen.reference, divergence.reference)):
        calls = [c for c in (scene.calls if scene is not None else []) if structure.family(c) == "reduction"]
        chains.append([plain(call.operation) for call in calls])
        for call in calls:
            shape = side.shape(call.inputs[0])
            sizes |= {math.prod(part) for n in range(1, len(shape) + 1) for part in combinations(shape, n)}
    if sorted(chains[0]) == sorted(chains[1]) or not mine or not other:
        return None
    quotient = max(abs(mine / other), abs(other / mine))
    count = next((n for n in sizes - {1} if abs(quotient / n - 1) < 1e-6), None)
    if count is None:
        return None
    shown = [" of ".join(reversed(chain)) or "no reduction" for chain in chains]
    words = f"{count} times" if abs(mine) > abs(other) else f"1/{count} of"
    evidence = (
        f"the port takes the {shown[0]}, the reference the {shown[1]}; its figure is {words} the reference's"
    )
    return Diagnosis("reduction", evidence, proven=True)


def _figure(recording: Any, name: str) -> float | None:
    return float(recording.get(name).reshape(-1)[0]) if name in recording and recording.kept(name) else None


def _runs(seen: View, which: int, side: Graph, scene: Scene | None) -> Iterator[Run]:
    """Every loss of the side made in one call."""
    if scene is None:
        return
    for call in side.calls:
        if call.section != "loss" or not any(w in plain(call.operation) for w in ("loss", "entropy", "bce")):
            continue
        tensors = {n: array for n in call.inputs if (array := seen.tensor(which, n)) is not None}
        filled = Scene(scene.framework, call.path, "", {}, [call], tensors, {}, call.line)
        run = rerun(filled, call, lambda _: None)
        if run is not None:
            yield run


def _variants(run: Run) -> Iterator[tuple[str, str, np.ndarray | None]]:
    """Each setting of a loss with the values that users mix up."""
    current = run.settings
    for reduction in ("sum", "mean"):
        if current.get("reduction", "mean") != reduction:
            yield "reduction", f"reduction={reduction}", run(reduction=reduction)
    summed = run(reduction="sum")
    x = run.tensors["x"]
    for words, count in (("the batch's size", len(x) if x.ndim else 1), ("the number of elements", x.size),
                         ("the number of labels", run.tensors.get("label", x).size)):  # fmt: skip
        if summed is not None:
            yield "reduction", f"the sum divided by {words}", summed / count
    plain_mean = run(reduction="none")
    if plain_mean is not None:
        yield "reduction", "the mean of all elements, ignored ones too", np.asarray(plain_mean.mean())
    if run.operation in ("cross_entropy", "nll_loss"):
        labels = run.tensors.get("label")
        if labels is not None and labels.dtype.kind in "iu":
            for ignored in {-100, int(labels.min()), int(labels.max()), 0, 255, -1} - {
                current.get("ignore_index")
            }:
                yield "ignore_index", f"ignore_index={ignored}", run(ignore_index=ignored)
        for smoothing in (0.0, 0.05, 0.1, 0.2):
            if smoothing != current.get("label_smoothing", 0.0):
                yield (
                    "label_smoothing",
                    f"label_smoothing={number(smoothing)}",
                    run(label_smoothing=smoothing),
                )
        kept = run.tensors["x"]
        run.tensors["x"] = kernels.softmax(kept, int(current.get("axis", 1 if kept.ndim > 1 else -1)))
        yield "logits", "a softmax before it", run()
        run.tensors["x"] = kept
    if current.get("class_weight") is not None:
        yield "class_weight", "no class weights", run(class_weight=None)
    if "entropy" in run.operation or "bce" in run.operation:
        yield "logits", "probabilities for logits", run(probabilities=not current.get("probabilities", False))
    if "label" in run.tensors and run.tensors["label"].shape == x.shape:
        for name, values in kernels.distance_losses(x - run.tensors["label"]).items():
            for reduction in ("mean", "sum"):
                yield "loss_form", f"{name} ({reduction})", kernels.reduced(values, reduction)
