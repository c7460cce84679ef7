"""Replay: do the first steps of the training, from the logged seed, give the logged losses?

The training is started as it was, and stopped as soon as its log has the steps that are compared; so a schedule over
all steps is the one of the log. It is run twice, with one thread and with two, and how much these two differ says how
much a third may. The submitted log is taken out of the submission first.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

from fuxian.submission.log_lines import LogLine, parse_log_lines
from fuxian.verify.commands import OUT, WORK, Done, Workplace, output_place, run_command
from fuxian.verify.environment import PACKAGE
from fuxian.verify.reasons import Failed, Reason

SECONDS = 1800.0
"""Wall clock limit of each of the two runs."""
STEADY = 1e-4
"""Relative: other processors and libraries add in other orders, and a few steps amplify that."""
SPREADS = 10.0
"""So many times the difference between the two runs is allowed."""
MOST_SPREAD = 0.02
"""Relative. Runs that differ by more could confirm nearly any log."""
LARGEST_LOG = 50_000_000
STOP_AFTER = f"{PACKAGE}/fuxian/verify/stop_after.py"

Status = Literal["pass", "fail", "not_applicable"]


@dataclass(frozen=True)
class Step:
    """One logged loss and what two runs gave."""

    step: float
    epoch: float | None
    logged: float
    one_thread: float
    two_threads: float
    tolerance: float

    @property
    def agrees(self) -> bool:
        return min(abs(self.logged - run) for run in (self.one_thread, self.two_threads)) <= self.tolerance


@dataclass(frozen=True)
class Replay:
    """What came of a replay."""

    status: Status
    detail: str
    steps: tuple[Step, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {"status": self.status, "detail": self.detail, "steps": [asdict(step) for step in self.steps]}


def replay(at: Workplace, steps: int) -> Replay:
    """Replays the first ``steps`` logged steps of the claim's training log.

    Raises Failed where the training does not run, or its losses are not the logged ones.
    """
    path = at.manifest.log_of(at.claim)
    if path is None or at.manifest.log is None:
        return Replay("not_applicable", "the manifest names no training log")
    if at.manifest.log.seed is None:
        return Replay("not_applicable", "the manifest names no seed of the logged training")
    if "train" not in at.manifest.commands:
        return Replay("not_applicable", "the manifest has no command to train")
    logged = _losses(at, at.manifest.folder / path)
    first = list(takewhile(lambda line: _within(line, steps, logged[0]), logged))
    if len(first) < 2:
        return Replay("not_applicable", f"the log has no losses of single steps among its first {steps}")
    runs = [_losses(at, _log_of_run(at, path, len(first), threads)) for threads in (1, 2)]
    compared = _compare(first, *runs)
    _require_agreement(compared)
    return Replay("pass", f"{len(compared)} logged losses were replayed", compared)


def _within(line: LogLine, steps: int, first: LogLine) -> bool:
    # Some logs count steps anew in each epoch.
    return line.step is not None and line.step <= steps and line.epoch == first.epoch


def _losses(at: Workplace, file: Path) -> list[LogLine]:
    assert at.manifest.log is not None  # noqa: S101 - replay() has checked
    if not file.is_file():
        raise Failed(Reason.LAYOUT, f"the training log {file.name} is missing; train must write it anew.")
    with file.open("rb") as opened:
        text = opened.read(LARGEST_LOG).decode("utf-8", "replace")
    lines = parse_log_lines(text, at.manifest.log, at.claim.metric, file.name)
    return [line for line in lines if "loss" in line.fields]


def _log_of_run(at: Workplace, logged: str, lines: int, threads: int) -> Path:
    """Trains until the log has so many losses; the file of that log."""
    assert at.manifest.log is not None  # noqa: S101 - replay() has checked
    written = at.manifest.commands["train"].output
    place = output_place(at.manifest, "train")
    inside = "-" if written is None else f"{OUT if place == 'out' else WORK}/{written}"
    name = at.manifest.log.names.get("loss", "loss")
    before = [str(at.environment.python), "-I", STOP_AFTER, str(lines), name, inside]
    done = run_command(
        at,
        "train",
        f"replay-{threads}-threads",
        seed=at.manifest.log.seed,
        threads=threads,
        seconds=SECONDS,
        before=before,
        without=[logged, *([written] if written is not None and place == "work" else [])],
    )
    return _log_file(done, place, written)


def _log_file(done: Done, place: str, written: str | None) -> Path:
    return done.made / "stdout.txt" if written is None else done.made / place / written


def _compare(logged: list[LogLine], one: list[LogLine], two: list[LogLine]) -> tuple[Step, ...]:
    """The logged losses beside those of both runs, step by step, with what each may differ by."""
    found_one, found_two = _by_step(one), _by_step(two)
    compared = []
    spread = 0.0
    for line in logged:
        key = (line.epoch, line.step)
        if key not in found_one or key not in found_two:
            raise Failed(
                Reason.REPLAY_MISMATCH,
                f"step {line.step:g} is logged, and the replayed training logs no such step.",
            )
        loss = line.fields["loss"]
        a, b = found_one[key], found_two[key]
        # What has drifted apart does not come together again.
        spread = max(spread, abs(a - b))
        tolerance = 2 * loss.half_digit + STEADY * abs(loss.value) + SPREADS * spread
        assert line.step is not None  # noqa: S101 - replay() has chosen such
        compared.append(Step(line.step, line.epoch, loss.value, a, b, tolerance))
    return tuple(compared)


def _by_step(lines: list[LogLine]) -> dict[tuple[float | None, float | None], float]:
    return {(line.epoch, line.step): line.fields["loss"].value for line in reversed(lines)}


def _require_agreement(steps: tuple[Step, ...]) -> None:
    for step in steps:
        if not all(map(math.isfinite, (step.logged, step.one_thread, step.two_threads))):
            raise Failed(Reason.REPLAY_MISMATCH, f"step {step.step:g}: a loss is not finite.")
        differ = abs(step.one_thread - step.two_threads)
        if differ > MOST_SPREAD * max(abs(step.one_thread), abs(step.two_threads)):
            raise Failed(
                Reason.REPLAY_UNSTABLE,
                f"step {step.step:g}: the same seed gave the losses {step.one_thread:.6g} and {step.two_threads:.6g};"
                " fix every seed.",
            )
    # Only after all: two unsteady runs may agree at one step by chance.
    for step in steps:
        if not step.agrees:
            raise Failed(
                Reason.REPLAY_MISMATCH,
                f"step {step.step:g}: the log says loss {step.logged:.6g}, the replayed training gives"
                f" {step.one_thread:.6g} (tolerance {step.tolerance:.2g}).",
            )
