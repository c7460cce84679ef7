"""The hash chain of a training: what its log says of every checkpoint, so that none can be exchanged afterwards.

Each link is the SHA-256 of the link before, the step, and the digest of the whole state at that step (weights,
moments, schedules). The first link holds the seed, the numeric mode and the freshly initialised state. Whoever trains
again from one kept checkpoint to the next, in the portable mode, must arrive at the digest that the log says.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fuxian.errors import InputError
from fuxian.training.numeric_mode import Mode, deciding
from fuxian.weights import load_tensors

BEST = "best.safetensors"
"""A checkpoint's copy of the weights of the best evaluation so far; no part of the state that trains on."""
KEPT_BYTES = 64 * 2**20
"""Checkpoints that are kept for a later replay may take so much in all."""
Tensors = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Link:
    """One link: the log line of step 0, or of a checkpoint."""

    step: int
    state: str
    """Digest of the state after ``step`` steps, hexadecimal."""
    chain: str

    def as_dict(self) -> dict[str, Any]:
        return {"state": self.state, "chain": self.chain}


@dataclass(frozen=True)
class Chain:
    """The whole chain of a log."""

    seed: int
    numeric_mode: Mode
    links: tuple[Link, ...]
    """By step, beginning with step 0."""
    roots: str = ""
    """Fingerprint of its processor's approximate roots, as the log says. It is no part of the hashes."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Of the environment, those that bits depend on in the fast mode, as the log says. No part of the hashes."""


def state_digest(files: Mapping[str, Tensors], schedules: Mapping[str, Any]) -> str:
    """The digest of a training's state: the tensors by file and name, bit for bit, and the schedules' states."""
    digest = hashlib.sha256()
    for file, tensors in sorted(files.items()):
        for name, tensor in sorted(tensors.items()):
            head = json.dumps([file, name, tensor.dtype.str, list(tensor.shape)])
            digest.update(head.encode())
            digest.update(np.ascontiguousarray(tensor).data)
    digest.update(json.dumps(schedules, sort_keys=True).encode())
    return digest.hexdigest()


def stored_digest(checkpoint: Path) -> str:
    """The digest of a checkpoint's folder. Raises InputError where it cannot be read."""
    files = {file.name: load_tensors(file) for file in checkpoint.glob("*.safetensors") if file.name != BEST}
    try:
        state = json.loads((checkpoint / "state.json").read_text())
        schedules = with_followed(state["schedules"], state.get("followed"))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{checkpoint}: its state.json is missing or damaged.") from error
    return state_digest(files, schedules)


def with_followed(schedules: Mapping[str, Any], followed: Any) -> dict[str, Any]:
    """The schedules' states, with what a reduce-on-plateau schedule has gathered since it last moved."""
    return {**schedules, "followed": list(followed)} if followed and followed[1] else dict(schedules)


def first_link(seed: int, mode: Mode, state: str) -> Link:
    """The link of step 0."""
    return Link(0, state, _hash("fuxian training", seed, mode, state))


def next_link(before: Link, step: int, state: str) -> Link:
    """The link that follows ``before``."""
    return Link(step, state, _hash(before.chain, step, state))


def read_chain(lines: Iterable[Mapping[str, Any]]) -> Chain | None:
    """The chain in the lines of a ``log.jsonl``; None where there is none.

    Raises InputError, naming the step, where a link does not follow from those before it.
    """
    linked = [line for line in lines if "chain" in line]
    if not linked:
        return None
    try:
        first = linked[0]
        seed, mode = int(first["seed"]), str(first["numeric_mode"])
        if mode not in ("fast", "portable"):
            raise ValueError(mode)
        links = [Link(int(line["step"]), str(line["state"]), str(line["chain"])) for line in linked]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            "the log's chain of checkpoints is malformed; train again, or leave it out."
        ) from error
    expected = first_link(seed, mode, links[0].state)  # type: ignore[arg-type]
    for number, link in enumerate(links):
        if number:
            expected = next_link(links[number - 1], link.step, link.state)
            if link.step <= links[number - 1].step:
                raise InputError(
                    f"the log's chain of checkpoints goes back at step {link.step}; it cannot be trusted."
                )
        if link != expected:
            raise InputError(
                f"the log's chain of checkpoints is broken at step {link.step}; a line of it was changed."
            )
    said, variables = first.get("roots"), first.get("variables")
    return Chain(
        seed,
        mode,  # type: ignore[arg-type]
        tuple(links),
        said if isinstance(said, str) else "",
        deciding(variables) if isinstance(variables, Mapping) else {},
    )


def stride(checkpoints: int, bytes_each: int, budget: int) -> int:
    """Every so many checkpoints one is kept, so that all that are kept stay within ``budget`` bytes.

    The kept ones, with step 0 and the end, divide the training into intervals that a replay can draw from.
    """
    return max(1, math.ceil(checkpoints * bytes_each / max(budget, 1)))


def _hash(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
