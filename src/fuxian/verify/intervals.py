"""Replays intervals of a training: from one kept checkpoint to the next, which must come out bit for bit.

The log's chain of hashes (``fuxian.training.chain``) says what every checkpoint was. Which intervals are replayed is
drawn after the commit is fixed, so that an invented one among N of a length is caught with the probability m / N.
"""

from __future__ import annotations

import itertools
import json
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fuxian.errors import InputError
from fuxian.paper import Claim
from fuxian.submission.manifest import Manifest
from fuxian.training.chain import Chain, Link, read_chain, stored_digest
from fuxian.training.exact_roots import fingerprint
from fuxian.training.numeric_mode import PORTABLE, deciding
from fuxian.untrusted import parsed
from fuxian.verify.commands import GIVEN, OUT, Workspace, run_command
from fuxian.verify.entrant_weights import MEMORY, load_weights
from fuxian.verify.reasons import Failed, Reason
from fuxian.verify.terms import Terms

LARGEST_LOG = 200_000_000
"""Bytes."""
SECONDS = 600.0
FAST = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
MODEL = "model.safetensors"
"""The file of a checkpoint that holds the weights in training."""
OWN_COMMAND = ("python", "-P", "-m", "fuxian.submission.recipe_commands", "train")
Status = Literal["pass", "not_applicable"]


@dataclass(frozen=True)
class Training:
    """What was found of the training."""

    status: Status
    detail: str
    more: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {"status": self.status, "detail": self.detail, **self.more}


def read_log_chain(at: Workspace) -> Chain | None:
    """The chain in the submitted log; None where there is none. Raises Failed for one that is broken."""
    log = at.manifest.log_of(at.claim)
    if log is None or at.manifest.log is None or at.manifest.log.format != "jsonl":
        return None
    file = at.manifest.folder / log
    if not file.is_file():
        return None
    if file.stat().st_size > LARGEST_LOG:
        raise Failed(Reason.MALFORMED, f"{log} has more than {LARGEST_LOG / 1e6:.0f} MB; log less often.")
    try:
        found = parsed(_chain_of, file, what=log, seconds=SECONDS, memory=MEMORY + 4 * file.stat().st_size)
    except InputError as error:
        raise Failed(Reason.REPLAY_MISMATCH, str(error)) from error
    if found is None:
        return None
    links = tuple(Link(*link) for link in found["links"])
    return Chain(found["seed"], found["mode"], links, found["roots"], deciding(found["variables"]))


def other_bits(chain: Chain) -> str:
    """A clause on why a training need not come out bit for bit on this processor; empty where it has to."""
    if chain.numeric_mode != "portable":
        return "it was made in the fast numeric mode, whose bits differ between processors: train with --reproducible"
    if chain.roots != fingerprint():
        return "its processor approximates square roots otherwise, which some operators heed in the portable mode too"
    return ""


def logged_variables(chain: Chain) -> dict[str, str]:
    """The variables of the environment that the log's training ran with, so that its bits may be had again."""
    return PORTABLE if chain.numeric_mode == "portable" else {**FAST, **chain.variables}


def submitted_step(at: Workspace, chain: Chain) -> int:
    """The step whose weights the claim rules on: the last, or that of the best evaluation in the log.

    Raises Failed where the log names no such step with a checkpoint.
    """
    if at.claim.checkpoint == "last":
        return chain.links[-1].step
    file = at.manifest.folder / str(at.manifest.log_of(at.claim))
    size = file.stat().st_size
    try:
        found = parsed(_evaluations, file, what=file.name, seconds=SECONDS, memory=MEMORY + 4 * size)
    except InputError as error:
        raise Failed(Reason.MALFORMED, str(error)) from error
    higher = at.claim.direction == "higher"
    best: tuple[int, float] | None = None
    for step, figures in found:
        figure = figures.get(at.claim.metric)
        if figure is not None and (best is None or (figure > best[1] if higher else figure < best[1])):
            best = step, figure
    if best is None or best[0] not in {link.step for link in chain.links}:
        raise Failed(
            Reason.NOT_SHOWN,
            f"the log names no checkpoint of its best {at.claim.metric}, whose weights the claim rules on.",
        )
    return best[0]


def _evaluations(file: Path) -> list[tuple[int, dict[str, float]]]:
    """Step and figures of each logged evaluation. In the child."""
    found = []
    for text in file.read_text(encoding="utf-8", errors="replace").splitlines():
        if '"eval"' in text:
            line = json.loads(text)
            if isinstance(line, dict) and isinstance(line.get("eval"), dict):
                figures = {name: float(value) for name, value in line["eval"].items() if value is not None}
                found.append((int(line["step"]), figures))
    return found


def _chain_of(file: Path) -> dict[str, Any] | None:
    """In the child."""
    lines = []
    for text in file.read_text(encoding="utf-8", errors="replace").splitlines():
        if '"chain"' in text:
            line = json.loads(text)
            if isinstance(line, dict):
                lines.append(line)
    chain = read_chain(lines)
    if chain is None:
        return None
    links = [[link.step, link.state, link.chain] for link in chain.links]
    return {
        "seed": chain.seed,
        "mode": chain.numeric_mode,
        "links": links,
        "roots": "".join(c for c in chain.roots if c.isalnum())[:64],
        "variables": dict(chain.variables),
    }


def check_chain(at: Workspace, terms: Terms, chain: Chain) -> dict[int, Path]:
    """The kept checkpoints by step, each being what the chain says; that of the submitted weights' step holds them.

    Raises Failed where anything does not belong together.
    """
    seeds = terms.seeds or terms.claim.seeds
    if chain.seed not in seeds:
        issued = ", ".join(map(str, seeds))
        raise Failed(Reason.CLAIM, f"the training's seed is {chain.seed}, and the terms issue {issued}.")
    last = chain.links[-1]
    if chain.links[0].step != 0 or last.step != terms.claim.iterations:
        raise Failed(
            Reason.REPLAY_MISMATCH,
            f"the chain goes from step {chain.links[0].step} to {last.step}, and the claim's training from 0 to"
            f" {terms.claim.iterations}.",
        )
    states = {link.step: link.state for link in chain.links}
    kept = {step: place for step, place in kept_checkpoints(at.manifest, at.claim).items() if step in states}
    for step, place in kept.items():
        size = sum(file.stat().st_size for file in place.rglob("*"))
        found = parsed(stored_digest, place, what=place.name, seconds=SECONDS, memory=MEMORY + 3 * size)
        if found != states[step]:
            raise Failed(
                Reason.REPLAY_MISMATCH,
                f"the kept checkpoint of step {step} is not the one that the log's chain names.",
            )
    shown = submitted_step(at, chain)
    if shown in kept:
        _check_submitted(at, kept[shown])
    return kept


def _check_submitted(at: Workspace, last: Path) -> None:
    """Raises Failed where a training's last checkpoint does not hold the submitted weights, or these in float16."""
    evaluated = last / "evaluated.safetensors"
    of_training = load_weights(evaluated if evaluated.is_file() else last / MODEL)
    submitted = load_weights(at.manifest.folder / str(at.manifest.checkpoint_of(at.claim)))
    same = of_training.keys() == submitted.keys() and all(
        submitted[name].dtype in (array.dtype, np.float16)
        and np.array_equal(array.astype(submitted[name].dtype), submitted[name])
        for name, array in of_training.items()
    )
    if not same:
        raise Failed(
            Reason.REPLAY_MISMATCH, "the submitted weights are not those that the logged training ended in."
        )


def kept_checkpoints(manifest: Manifest, claim: Claim) -> dict[int, Path]:
    """The folders of checkpoints that the submission holds, by step."""
    named = manifest.checkpoints_of(claim)
    folder = None if named is None else manifest.folder / named
    if folder is None or not folder.is_dir():
        return {}
    found = {}
    for place in sorted(folder.glob("step_*")):
        number = place.name.removeprefix("step_")
        if place.is_dir() and number.isascii() and number.isdecimal() and len(number) <= 12:
            found[int(number)] = place
    return found


def replay_intervals(at: Workspace, chain: Chain, kept: dict[int, Path], count: int, seed: int) -> Training:
    """Replays intervals between kept checkpoints, and what the seed starts from: ``count`` drawn with ``seed``, and the
    one in which the weights moved the most for its length.

    An interval is drawn by its length: who keeps every step of an honest end does not hide a long beginning among
    them. Weights that were put in the place of others in between have moved further than training moves them.

    Where the checkpoint of the submitted weights was not kept, the interval that ends in it is one of them: it alone
    ties the weights to the log. Raises Failed where one does not arrive at the state that the chain names.
    """
    shown = submitted_step(at, chain)
    intervals = list(itertools.pairwise(sorted({0, *kept, shown, chain.links[-1].step})))
    lengths = np.array([end - begin for begin, end in intervals], dtype=np.float64)
    whole = lengths.sum()
    drawn = np.random.default_rng(seed).choice(
        len(intervals), size=min(count, len(intervals)), replace=False, p=lengths / whole
    )
    chosen = {intervals[int(index)] for index in drawn}
    if shown not in kept:
        chosen.add(next(interval for interval in intervals if interval[1] == shown))
    if len(chosen) < len(intervals):
        chosen |= _moved_most(intervals, kept)
    replayed = sorted(chosen)
    states = {link.step: link.state for link in chain.links}
    if replayed[0][0] != 0:
        _replay(at, chain, None, 0, states[0])
    for begin, end in replayed:
        made = _replay(at, chain, kept.get(begin), end, states[end])
        if end == shown and shown not in kept:
            _check_submitted(at, made / "checkpoints" / f"step_{end:08d}")
    steps = sum(end - begin for begin, end in replayed)
    return Training(
        "pass",
        f"{len(replayed)} of {len(intervals)} intervals, {steps} of {int(whole)} steps, were replayed bit for bit: one"
        f" invented interval among as long ones is caught with the probability {len(drawn) / len(intervals):.2g}",
        {
            "seed": chain.seed,
            "numeric_mode": chain.numeric_mode,
            "intervals": len(intervals),
            "replayed": [list(one) for one in replayed],
            "chance": len(drawn) / len(intervals),
        },
    )


def _moved_most(intervals: list[tuple[int, int]], kept: dict[int, Path]) -> set[tuple[int, int]]:
    """The interval over which the weights' distance, by the root of the number of steps, is the largest.

    Of those between two kept checkpoints, none where there is none: the first interval begins at weights that were not
    kept, and ends where training moves the most.
    """
    moved: dict[tuple[int, int], float] = {}
    for begin, end in intervals:
        if begin not in kept or end not in kept:
            continue
        before, after = (load_weights(kept[step] / MODEL) for step in (begin, end))
        squares = sum(
            float(np.square(after[name].astype(np.float64) - before[name].astype(np.float64)).sum())
            for name in after.keys() & before.keys()
            if after[name].dtype.kind == "f" and after[name].shape == before[name].shape
        )
        # Weights that are no numbers can not have been trained: they are looked at first.
        moved[begin, end] = np.nan_to_num(np.sqrt(squares / (end - begin)), nan=np.inf)
    return {max(moved, key=lambda interval: moved[interval])} if moved else set()


def _replay(at: Workspace, chain: Chain, begin: Path | None, end: int, wanted: str) -> Path:
    """Trains up to step ``end``, from a kept checkpoint or from the seed, and compares the state that comes out.

    Returns the run folder that was made.
    """
    made = own_training(
        at,
        f"interval-{len(at.done) + 1:02d}",
        seed=chain.seed,
        until=end,
        resume=begin,
        variables=logged_variables(chain),
    )
    if _state(made, end) != wanted:
        where = "from the seed" if begin is None else f"from {begin.name}"
        why = other_bits(chain)
        if why:
            raise Failed(
                Reason.NOT_SHOWN, f"the training {where} to step {end} does not come out as logged; {why}."
            )
        raise Failed(
            Reason.REPLAY_MISMATCH,
            f"the training {where} to step {end} does not arrive at the state that the log names.",
        )
    return made


def own_training(
    at: Workspace,
    label: str,
    *,
    seed: int,
    until: int,
    resume: Path | None = None,
    variables: Mapping[str, str] = FAST,
) -> Path:
    """Trains a recipe in Fuxian's own loop up to a step, without evaluating; the run folder that it wrote.

    ``resume`` is a kept checkpoint. Nothing that the entrant kept of the training is there but that.
    """
    given = None
    if resume is not None:
        given = at.place / f"given-{secrets.token_hex(8)}" / "checkpoint"
        shutil.copytree(resume, given)
    done = run_command(
        at,
        "train",
        label,
        checkpoint=given,
        bare=True,
        data=True,
        variables=variables,
        arguments=[
            *OWN_COMMAND,
            f"--recipe={at.manifest.recipe}",
            f"--claim={at.claim.id}",
            f"--seed={seed}",
            f"--steps={at.claim.iterations}",
            f"--until={until}",
            *([] if given is None else [f"--resume={GIVEN}/checkpoint"]),
            f"--out={OUT}",
        ],
    )
    return done.made / "out"


def _state(out: Path, step: int) -> str | None:
    """The digest of what a replay arrived at; None where it left nothing."""
    if step == 0:
        file = out / "log.jsonl"
        found = parsed(_chain_of, file, what="log.jsonl") if file.is_file() else None
        return None if found is None else str(found["links"][0][1])
    place = out / "checkpoints" / f"step_{step:08d}"
    if not place.is_dir():
        return None
    size = sum(file.stat().st_size for file in place.rglob("*"))
    return parsed(stored_digest, place, what=place.name, seconds=SECONDS, memory=MEMORY + 3 * size)
