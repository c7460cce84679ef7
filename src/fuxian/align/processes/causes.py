"""Why a run on several processes differs from the one on one process: each hypothesis is a run or a sum that would give
what the processes gave, and is proven where it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fuxian.align.divergence import Diagnosis
from fuxian.align.processes.judge import Together, mean_losses
from fuxian.align.processes.run import Arrays, Run, Step, Way
from fuxian.align.stages import StageResult
from fuxian.errors import InputError

UNKNOWN = Diagnosis("unknown", "none of the known mistakes gives what the processes gave")
CLOSE = 1e-9


@dataclass
class Evidence:
    """What the hypotheses look at, at the first ``batch`` that differs; ``alone`` runs one process on it once more, in
    another way, from the weights that the joint run had there."""

    together: Together
    alone: Callable[[Way], Run]
    plain: Way
    """How the joint run was made."""
    batch: int = 0

    @cached_property
    def apart(self) -> list[Run]:
        """Each share alone on one process: what is done where no code of the port knows of other processes."""
        return [self.alone(Way(share=rank)) for rank in range(self.together.size)]

    @cached_property
    def parts(self) -> list[Run]:
        """The loss of each share's part of what the joint batch gave; of the share alone where the outputs cannot be
        shared out, or the recipe has a step of its own."""
        try:
            ways = [Way(self.plain.by_shares, loss_of=rank) for rank in range(self.together.size)]
            return [self.alone(way) for way in ways]
        except InputError:
            return self.apart

    @cached_property
    def raw(self) -> Run:
        """The joint batch, with gradients as they come."""
        return self.alone(Way(by_shares=self.plain.by_shares, raw=True))

    @property
    def joint(self) -> Step:
        return self.together.joint.steps[self.batch]

    @property
    def shares(self) -> list[Step]:
        return [run.steps[self.batch] for run in self.together.shares]

    def close(self, one: np.ndarray | float, two: np.ndarray | float) -> bool:
        """Whether two tensors agree within what rounding does, as far as the nudge says."""
        a, b = np.asarray(one, dtype=np.float64), np.asarray(two, dtype=np.float64)
        if a.shape != b.shape:
            return False
        size = float(np.abs(b).max(initial=0.0))
        return bool(np.abs(a - b).max(initial=0.0) <= max(CLOSE, 64 * self.together.nudge) * size)


def diagnose(stage: StageResult, place: str, evidence: Evidence) -> Diagnosis:
    """The cause of the first divergence, which is in ``stage`` at ``place``."""
    return HYPOTHESES[stage.stage](stage, place, evidence)


def _weights(stage: StageResult, place: str, evidence: Evidence) -> Diagnosis:
    words = "the processes start from different weights, and only gradients are averaged: seed the model alike in each"
    return Diagnosis("weights_per_process", words, proven=True)


def _data(stage: StageResult, place: str, evidence: Evidence) -> Diagnosis:
    facts, said = stage.facts, f"{place}: {next(t.problem for t in stage.tensors if t.differs)}"
    if any(t.name.startswith("epochs") for t in stage.differing) and not facts["missing"]:
        return Diagnosis("sampler_epoch", f"{said}: each process counts its own share's batches", proven=True)
    if facts["other"] and evidence.together.joint.drawn and not facts["same"]:
        again = evidence.together.moved.drawn
        if again and _differ(again, evidence.together.joint.drawn):
            words = "train_data() gives other batches each time it is made: seed its generator, not by the process"
            return Diagnosis("sampler_unseeded", f"{said}; {words}", proven=True)
        words = "the processes draw batches of their own: shuffle alike in each, then share out"
        return Diagnosis("sampler_unseeded", f"{said}; {words}", proven=False)
    if facts["same"]:
        return Diagnosis("sampler_same_examples", f"{said}: every process draws the same ones", proven=True)
    if facts["twice"]:
        return Diagnosis("sampler_pads", f"{said}: examples are repeated where others are left out" if facts["missing"]
                         else f"{said}: examples are repeated", proven=True)  # fmt: skip
    if facts["missing"]:
        return Diagnosis("sampler_drops", f"{said}: no process trains on them", proven=True)
    return Diagnosis("sampler_unseeded", said)


def _differ(one: list, two: list) -> bool:
    from fuxian.align.processes.run import rows_of

    return any(rows_of(a) != rows_of(b) for a, b in zip(one, two, strict=True))


def _figure(stage: StageResult, place: str, evidence: Evidence) -> Diagnosis:
    figures = [run.figures.get(place, float("nan")) for run in evidence.together.shares]
    said = " and ".join(f"{figure:.6g}" for figure in figures)
    words = f"the first process evaluates for all; the processes' figures are {said}"
    one = evidence.together.joint.figures.get(place, float("nan"))
    parts = abs(float(np.mean(figures)) - one) <= CLOSE * max(abs(one), 1.0) and len(set(figures)) > 1
    if parts or len(set(figures)) > 1:
        words += f", that on one process {one:.6g}: eval_data() gives each process a part"
        return Diagnosis("metric_per_process", words, proven=parts)
    return Diagnosis("unknown", words)


def _layer(stage: StageResult, place: str, evidence: Evidence) -> Diagnosis:
    joint, shares = evidence.together.joint, evidence.together.shares
    norms = shares[0].norms
    name = next(t.reference_name for t in stage.tensors if t.differs)
    if place in norms or name.rpartition(".")[0] in norms:
        other = evidence.alone(Way(by_shares=True))
        same = _joins(evidence, other, shares, name)
        words = (
            "this batch norm takes its own process's statistics, others of the model those of all processes"
        )
        if same:
            words += "; one process that takes them share by share gives the same output"
        return Diagnosis("bn_per_process", words, proven=same)
    if name not in joint.outputs:
        return UNKNOWN
    alone = all(
        evidence.close(run.outputs[name], apart.outputs[name])
        for run, apart in zip(shares, evidence.apart, strict=True)
        if name in apart.outputs
    )
    if not alone:
        return UNKNOWN
    kind = stage.facts["classes"].get(place, "")
    words = "the share alone on one process gives the same: an example's output depends on its process's other examples"
    if "norm" in kind.lower() or any(n.rpartition(".")[0] == place for n in joint.steps[0].buffers):
        return Diagnosis("bn_per_process", f"{words}, as statistics of the batch do", proven=True)
    return Diagnosis("examples_coupled", words, proven=True)


def _joins(evidence: Evidence, other: Run, shares: list[Run], name: str) -> bool:
    if name in other.outputs and all(name in run.outputs for run in shares):
        return evidence.close(np.concatenate([run.outputs[name] for run in shares]), other.outputs[name])
    buffers = other.steps[0].buffers, shares[0].steps[0].buffers
    return all(name in held for held in buffers) and evidence.close(buffers[1][name], buffers[0][name])


def _loss(stage: StageResult, place: str, evidence: Evidence) -> Diagnosis:
    together, size = evidence.together, evidence.together.size
    joint = evidence.joint.losses[place]
    own = [step.losses[place] for step in evidence.shares]
    apart = [run.steps[-1].losses[place] for run in evidence.parts]
    mean = mean_losses(together.shares, evidence.batch)[place]
    if all(evidence.close(a, b) for a, b in zip(own, apart, strict=True)):
        if evidence.close(sum(apart), joint):
            words = f"the shares' losses add up to the joint batch's ({mean:.6g} is {joint:.6g} / {size}): it sums over"
            return Diagnosis(
                "loss_summed", f"{words} examples, and the processes' gradients are averaged", proven=True
            )
        found = _normaliser(evidence, joint, apart)
        return found or Diagnosis(
            "examples_coupled",
            f"the shares' losses, {' and '.join(f'{one:.6g}' for one in apart)}, do not make up the joint batch's"
            f" {joint:.6g}: an example's loss depends on its process's other examples",
        )
    if all(
        evidence.close(a, run.steps[-1].losses[place]) for a, run in zip(own, evidence.apart, strict=True)
    ):
        words = "the share alone on one process gives the same loss, and its part of the joint batch another"
        return Diagnosis(
            "examples_coupled", f"{words}: what an example gives depends on the others", proven=True
        )
    for factor, words in ((1.0 / size, "divided"), (float(size), "multiplied")):
        if all(evidence.close(a, b * factor) for a, b in zip(own, apart, strict=True)):
            said = f"the loss is {words} by the number of processes, over which the gradients are averaged besides"
            return Diagnosis("loss_scale", said, proven=True)
    return UNKNOWN


def _normaliser(evidence: Evidence, joint: float, apart: list[float]) -> Diagnosis | None:
    """Shares weighted by what each counts: the weights that give the joint loss must give every joint gradient."""
    steps, whole = [run.steps[-1] for run in evidence.parts], evidence.joint
    names = [name for name in whole.own if all(name in step.own for step in steps)]
    columns = (
        np.stack([np.concatenate([step.own[name].ravel() for name in names]) for step in steps], 1)
        if names
        else None
    )
    if columns is None or not columns.size:
        return None
    target = np.concatenate([whole.own[name].ravel() for name in names])
    weights, *_ = np.linalg.lstsq(columns, target, rcond=None)
    fits = evidence.close(columns @ weights, target)
    adds_up = abs(weights.sum() - 1.0) < 1e-6 and abs(float(np.dot(weights, apart)) - joint) < 1e-6 * abs(
        joint
    )
    if not fits or not adds_up or (weights < 0).any():
        return None
    shown = " and ".join(f"{weight:.4g}" for weight in weights)
    words = f"the joint loss and gradients are the shares' weighted by {shown}: each process divides by what its own"
    return Diagnosis(
        "loss_normaliser",
        f"{words} share counts (weights, valid targets), in place of the mean count",
        proven=True,
    )


def _gradients(stage: StageResult, place: str, evidence: Evidence) -> Diagnosis:
    size = evidence.together.size
    joint, steps = evidence.joint.used, evidence.shares
    names = list(dict.fromkeys(t.reference_name for t in stage.differing))
    if not all(name in joint and all(name in step.used for step in steps) for name in names):
        return UNKNOWN
    used = [{name: step.used[name] for name in names} for step in steps]
    own = [{name: step.own.get(name, step.used[name]) for name in names} for step in steps]
    shown = "every parameter" if len(names) == len(joint) else f"{len(names)} of {len(joint)} parameters"

    def all_close(pairs: Iterator[tuple[np.ndarray, np.ndarray]]) -> bool:
        return all(evidence.close(one, two) for one, two in pairs)

    averaged = all_close((np.mean([o[n] for o in own], 0), joint[n]) for n in names)
    kept = all_close((u[n], o[n]) for u, o in zip(used, own, strict=True) for n in names)
    if averaged and kept:
        words = f"each process keeps its own gradient of {shown}; their mean is that of one process"
        return Diagnosis("gradients_not_averaged", words, proven=True)
    if all_close((u[n], joint[n] * size) for u in used for n in names):
        words = f"the gradients of {shown} are {size} times those of one process: they are summed over the processes"
        return Diagnosis("gradients_summed", words, proven=True)
    if all_close((u[n] * size, joint[n]) for u in used for n in names):
        words = f"the gradients of {shown} are 1/{size} of those of one process: they are averaged twice"
        return Diagnosis("gradients_averaged_twice", words, proven=True)
    return _clipped(names, joint, evidence) or UNKNOWN


def _clipped(names: list[str], joint: Arrays, evidence: Evidence) -> Diagnosis | None:
    """Whether the recipe changes gradients before they are averaged."""
    raw = evidence.raw.steps[-1].used
    if not all(name in raw for name in names) or all(evidence.close(joint[n], raw[n]) for n in names):
        return None
    smaller = all(
        float(np.linalg.norm(joint[n])) <= float(np.linalg.norm(raw[n])) * (1 + CLOSE) for n in names
    )
    if not smaller:
        return None
    bound = max(float(np.abs(joint[n]).max()) for n in names)
    by_value = all(evidence.close(np.clip(raw[n], -bound, bound), joint[n]) for n in names)
    scaled = all(
        evidence.close(raw[n] * (np.linalg.norm(joint[n]) / (np.linalg.norm(raw[n]) or 1.0)), joint[n])
        for n in names
    )
    words = (
        "each process clips its own gradients, and their mean is not the clipped mean: clip after averaging"
    )
    if by_value or scaled:
        said = f"at the value {bound:.4g}" if by_value else "by their norm"
        return Diagnosis(
            "clipping_before_averaging",
            f"{words} (they are clipped {said} in a hook or by hand)",
            proven=True,
        )
    return Diagnosis("clipping_before_averaging", words)


def _rate(stage: StageResult, place: str, evidence: Evidence) -> Diagnosis:
    size = evidence.together.size
    ours, theirs = (
        [step.rates[place] for step in run.steps]
        for run in (evidence.together.shares[0], evidence.together.joint)
    )
    ratio = ours[0] / theirs[0] if theirs[0] else float("nan")
    if all(abs(a - ratio * b) <= CLOSE * abs(a) for a, b in zip(ours, theirs, strict=True)):
        words = f"the rate is {ratio:.6g} times that of one process, and the joint batch is the same"
        if abs(ratio - size) < CLOSE or abs(ratio * size - 1) < CLOSE:
            words += ": it is scaled by the number of processes"
        return Diagnosis("learning_rate", words, proven=True)
    words = f"the rates are {_series(ours)} in place of {_series(theirs)}"
    return Diagnosis("schedule_length", f"{words}: the schedule depends on the number of processes")


def _series(rates: list[float]) -> str:
    return ", ".join(f"{rate:.4g}" for rate in rates)


def _step(stage: StageResult, place: str, evidence: Evidence) -> Diagnosis:
    shares = evidence.together.shares
    updated = next((n for n, step in enumerate(evidence.together.joint.steps) if step.used), 0)
    first = [run.steps[updated].parameters for run in shares]
    apart = [
        name for name in first[0] if name not in shares[0].spread
        and any(not evidence.close(other[name], first[0][name]) for other in first[1:] if name in other)
    ]  # fmt: skip
    if apart:
        words = (
            f"after the first step the processes hold different weights in {len(apart)} of {len(first[0])}"
        )
        words += " parameters: they are moved by gradients that were not averaged"
        return Diagnosis("gradients_not_averaged", words)
    ahead = [run.steps[-1].parameters for run in shares]
    if any(not evidence.close(other[name], ahead[0][name]) for other in ahead[1:] for name in other):
        words = "the processes' weights part after the first step: something that only the optimizer or the loss holds"
        return Diagnosis("gradients_not_averaged", f"{words} is not averaged")
    return UNKNOWN


HYPOTHESES = {
    "initialisation": _weights,
    "train_data": _data,
    "metric": _figure,
    "training_mode": _layer,
    "loss": _loss,
    "backward": _gradients,
    "learning_rate": _rate,
    "training_steps": _step,
}
