"""Did the training happen? It starts from nothing, or from what the terms allow, and ends in the submitted weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fuxian.paper import Claim
from fuxian.submission.checklist.weights_origin import share_of_reference
from fuxian.training.chain import Chain
from fuxian.training.checkpoints import EVALUATED
from fuxian.verdict import Verdict
from fuxian.verify.commands import Workspace, run_command
from fuxian.verify.control import gain, reaches
from fuxian.verify.drawing import Draw
from fuxian.verify.entrant_weights import load_weights
from fuxian.verify.intervals import (
    MODEL,
    Training,
    check_chain,
    logged_variables,
    own_training,
    read_log_chain,
    replay_intervals,
    submitted_step,
)
from fuxian.verify.measured_figure import trained_weights
from fuxian.verify.reasons import Failed, Reason
from fuxian.verify.replay import logged_cost
from fuxian.verify.source import file_digest, regular_files
from fuxian.verify.terms import Terms

NEAR = 0.3
"""Relative L2 distance: tensors initialised apart differ by about 1.4, one step moves them by much less."""
ALIKE, ALIKE_AFTER = 0.3, 0.6
"""Correlations of two starts' elements, before any step and after one, in which first gradients may be alike."""
CHANCE = 6.0
"""Standard deviations of the correlation of two tensors that have nothing in common."""
LEAST = 16
"""Elements; smaller tensors say nothing."""
SPREAD = 0.1
"""Deviation over mean size: scales that begin as ones are constant to this."""
MANY = 0.5
"""Share of the elements that two seeds have in common from which the training does not start from nothing."""
LEARNED = 0.9
"""Share of what separates the submitted weights from worthless ones that no training gains in its first step. A ranking
may gain much of it at once: an AUC does not see how small a step was."""
START_SECONDS = 1800.0
AGAIN_SECONDS = 3600.0
"""A training that is longer, by its own log, is not made again whole."""


@dataclass(frozen=True)
class Standard:
    """What a start is measured by: how to get the figure of a file of weights, None where there is none, and the
    figures of the submitted weights and of worthless ones."""

    figure_of: Callable[[Path], float | None]
    ruling: Verdict
    worthless: Sequence[float]
    rule: Callable[[Path], Verdict]
    """Rules on a file of weights as on the submitted ones."""


def training(at: Workspace, terms: Terms, draw: Draw | None, standard: Standard) -> Training:
    """Looks at what two trainings start from, and replays drawn intervals of the log's chain of checkpoints.

    Raises Failed where the training starts from weights that the terms do not allow, or where chain, checkpoints and
    weights do not belong together, or a replayed interval does not arrive at its end.
    """
    assert draw is not None  # noqa: S101 - a ruling has drawn
    if _common_start(at, terms, draw, standard) is None:
        return Training("not_applicable", "train takes no {steps} and {seed}, so its start cannot be seen")
    if at.claim.subject == "procedure":
        return Training("pass", "the ruling is on trainings that were made here, from drawn seeds")
    if at.manifest.recipe is None:
        return Training(
            "not_applicable", "it is no recipe of Fuxian's, whose trainings chain their checkpoints"
        )
    chain = read_log_chain(at)
    if chain is None:
        return Training("not_applicable", "the log holds no chain of checkpoints")
    return chained(at, terms, chain, draw.seed("intervals"), standard)


def chained(at: Workspace, terms: Terms, chain: Chain, seed: int, standard: Standard) -> Training:
    """What the log's chain shows: intervals that ``seed`` draws come out bit for bit. Where bits cannot be had again on
    this processor, the whole training is made here, and its weights must be accepted too."""
    kept = check_chain(at, terms, chain)
    try:
        return replay_intervals(at, chain, kept, terms.intervals, seed)
    except Failed as error:
        if error.reason is not Reason.NOT_SHOWN:
            raise
        return _trained_again(at, chain, standard, error.sentence.rstrip("."))


def _trained_again(at: Workspace, chain: Chain, standard: Standard, why: str) -> Training:
    """The whole training here, in Fuxian's own loop, where its bits cannot be had again.

    What comes out of it is ruled on as the submitted weights were: whoever says that his processor was another one
    gains nothing by it.

    Raises Failed where what comes out is not accepted; ``not_applicable`` where it would take too long.
    """
    step = submitted_step(at, chain)
    seconds = step * logged_cost(at)
    if not seconds <= AGAIN_SECONDS:  # the log may say inf or nan
        return Training(
            "not_applicable",
            f"{why}; training again would take about {seconds / 60:.0f} minutes, more than"
            f" {AGAIN_SECONDS / 60:.0f}: rule on it on a processor like its own",
        )
    made = own_training(
        at, f"again-{len(at.done) + 1:02d}", seed=chain.seed, until=step, variables=logged_variables(chain)
    )
    place = made / "checkpoints" / f"step_{step:08d}"
    evaluated = place / EVALUATED
    ruling = standard.rule(evaluated if evaluated.is_file() else place / MODEL)
    if ruling.verdict != "accepted":
        # Two honest trainings differ: what the second leaves open is for more examples or seeds, and then for a person.
        raise Failed(
            Reason.NOT_SHOWN if ruling.verdict == "rejected" else Reason.UNDECIDED,
            f"{why}; trained again here from seed {chain.seed}, it gives {_shown(ruling.value)}, which is"
            f" {ruling.verdict}.",
        )
    return Training(
        "pass",
        f"{why}; trained again here from seed {chain.seed}, all of its {step} steps, it gives"
        f" {_shown(ruling.value)}, which is accepted as well",
        {"seed": chain.seed, "numeric_mode": chain.numeric_mode, "again": ruling.value},
    )


def _shown(value: float | None) -> str:
    return "no figure" if value is None else f"{value:.6g}"


def _common_start(at: Workspace, terms: Terms, draw: Draw, standard: Standard) -> float | None:
    """The share of the weights that two trainings of other seeds have in common after one step; None: unknown.

    Raises Failed where it is not what a training from nothing has, or from weights that the terms allow.
    """
    train = at.manifest.commands.get("train")
    if train is None or not all(
        any(f"{{{name}}}" in text for text in train.run) for name in ("steps", "seed")
    ):
        return None
    seeds = [draw.seed(f"start {number}") % 2**31 for number in (1, 2)]
    files = [_after_one_step(at, seed) for seed in seeds]
    # A first step of Adam moves every number by the whole rate, and may spoil what it started from.
    begun = [] if at.manifest.recipe is None else [_before_any_step(at, seed) for seed in seeds]
    allowed = [
        load_weights(file)
        for file in regular_files(at.manifest.folder)
        if terms.starting_weights and file_digest(file) in terms.starting_weights
    ]
    common = 0.0
    for pair, alike, when in ((files, ALIKE_AFTER, "after one step"), (begun, ALIKE, "before any step")):
        if not pair:
            continue
        first, second = (load_weights(file) for file in pair)
        common = max(common, share_in_common(first, second, allowed, alike=alike))
        if common >= MANY:
            raise Failed(
                Reason.WARM_START,
                f"two trainings from different seeds have {100 * common:.0f} % of their weights in common {when}:"
                " they start from weights that the terms do not allow.",
            )
    if not terms.starting_weights and terms.claim.subject == "weights":
        for file in (files[0], *begun[:1]):
            _require_worthless(terms.claim, standard, standard.figure_of(file))
    return common


def _require_worthless(claim: Claim, standard: Standard, start: float | None) -> None:
    """Raises Failed where the weights before or after the first step are worth most of what the submitted ones are: a
    start from trained weights whose units were put in another order, or moved at random, has nothing in common with
    another."""
    if start is None:
        return
    ruling = standard.ruling
    assert ruling.value is not None  # noqa: S101 - it was accepted
    most = reaches(claim, ruling, start)
    # Of shares alone: an error without bound may have fallen by nearly all of itself in one step.
    if standard.worthless and all(0 <= value <= 1 for value in (*standard.worthless, start, ruling.value)):
        least = max(gain(claim, value) for value in standard.worthless)
        whole = gain(claim, ruling.value) - least
        most = most or (whole > 0 and gain(claim, start) - least >= LEARNED * whole)
    if most:
        raise Failed(
            Reason.WARM_START,
            f"a training from a drawn seed starts with weights that give {start:.6g}, and the submitted ones give"
            f" {ruling.value:.6g}: it does not start from nothing.",
        )


def _before_any_step(at: Workspace, seed: int) -> Path:
    return own_training(at, f"start-{len(at.done) + 1:02d}", seed=seed, until=0) / MODEL


def _after_one_step(at: Workspace, seed: int) -> Path:
    """A file of the weights."""
    label = f"start-{len(at.done) + 1:02d}"
    if at.manifest.recipe is not None:
        return own_training(at, label, seed=seed, until=1) / MODEL
    written = at.manifest.commands["train"].output
    log = at.manifest.log_of(at.claim)
    done = run_command(
        at,
        "train",
        label,
        seed=seed,
        steps=1,
        seconds=START_SECONDS,
        without=[path for path in (log, written) if path],
    )
    return trained_weights(at, done)


def share_in_common(
    first: dict[str, np.ndarray],
    second: dict[str, np.ndarray],
    allowed: list[dict[str, np.ndarray]],
    *,
    alike: float = ALIKE_AFTER,
) -> float:
    """The share of the elements, in tensors that are no constants, that are near in both and in no allowed file, or
    whose correlation is ``alike`` and no accident: noise as large as the weights leaves them half of it."""
    near = total = 0
    for name, tensor in first.items():
        other = second.get(name)
        if other is None or other.shape != tensor.shape or not _tells(tensor):
            continue
        if any(
            share_of_reference({name: tensor}, file) > 0 or _starts_from(file, tensor) for file in allowed
        ):
            continue
        total += tensor.size
        wide, beside = tensor.astype(np.float64), other.astype(np.float64)
        if np.linalg.norm(wide - beside) < NEAR * np.linalg.norm(wide) or _correlation(wide, beside) > max(
            alike, CHANCE / np.sqrt(tensor.size)
        ):
            near += tensor.size
    return near / total if total else 0.0


def _starts_from(file: dict[str, np.ndarray], tensor: np.ndarray) -> bool:
    """Whether a tensor is one of the file's after a step, which in Adam moves each element by the whole rate."""
    wide = tensor.astype(np.float64)
    most = NEAR * np.linalg.norm(wide)
    return any(
        other.shape == tensor.shape and np.linalg.norm(wide - other.astype(np.float64)) < most
        for other in file.values()
    )


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Of two tensors' elements; 0 where one is constant."""
    first, second = first - first.mean(), second - second.mean()
    sizes = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.vdot(first, second)) / sizes if sizes > 0 else 0.0


def _tells(tensor: np.ndarray) -> bool:
    if tensor.dtype.kind != "f" or tensor.size < LEAST or not np.isfinite(tensor).all():
        return False
    wide = tensor.astype(np.float64)
    return bool(wide.std() > SPREAD * abs(wide.mean()))
