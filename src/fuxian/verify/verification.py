"""What a verification found, step by step, and its ruling: in memory, as JSON, and read back from evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fuxian.errors import InputError
from fuxian.paper import Claim
from fuxian.submission.checklist import Finding
from fuxian.verdict import Verdict, rule
from fuxian.verify.commands import Done
from fuxian.verify.drawing import Draw
from fuxian.verify.entrant_output import shown
from fuxian.verify.environment import Environment
from fuxian.verify.measured_figure import Measured
from fuxian.verify.reasons import Reason
from fuxian.verify.terms import RUNGS, Terms

Word = Literal["accepted", "rejected", "inconclusive"]
Status = Literal["pass", "fail", "not_applicable", "inconclusive"]
Use = Literal["self-check", "ruling"]
UNDECIDING = frozenset({Reason.INTERNAL, Reason.CANCELLED, Reason.REPLAY_UNSTABLE, Reason.UNDECIDED})
"""With these a submission is neither accepted nor rejected."""
FREE = frozenset({Reason.INTERNAL, Reason.CANCELLED})
"""With these no attempt is counted: the submission has not caused them."""


@dataclass(frozen=True)
class Step:
    """One step of a verification, as both entrant and organiser read it."""

    name: str
    status: Status
    reason: Reason
    detail: str
    seconds: float
    more: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "status": self.status,
            "reason": self.reason.value,
            "detail": self.detail,
            "seconds": round(self.seconds, 3),
            **self.more,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Step:
        """The inverse of ``as_dict``."""
        rest = dict(data)
        name, status, reason, detail, seconds = (
            rest.pop(key) for key in ("name", "status", "reason", "detail", "seconds")
        )
        return cls(str(name), status, Reason(reason), str(detail), float(seconds), rest)


@dataclass
class Verification:
    """A finished verification. ``verdict`` and ``reason`` are the ruling; the rest is what it rests on."""

    submission: str
    use: Use = "self-check"
    verdict: Word = "inconclusive"
    reason: Reason = Reason.INTERNAL
    detail: str = ""
    """One sentence on the reason."""
    commit: str | None = None
    paper: str | None = None
    claim: Claim | None = None
    claim_given: bool = False
    """Whether the claim came from who verifies, and not from the submission."""
    terms: Terms | None = None
    attempt: int = 1
    draw: Draw | None = None
    rung: int | None = None
    """A key of ``RUNGS``: where the figure of a ruling came from."""
    steps: list[Step] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    measured: Measured | None = None
    ruling: Verdict | None = None
    environment: Environment | None = None
    commands: list[Done] = field(default_factory=list)
    recorded: list[dict[str, Any]] = field(default_factory=list)
    """The commands of one that was read back."""
    seconds: float = 0.0
    evidence: Path | None = None

    @property
    def not_applicable(self) -> list[str]:
        """Names of the steps that did not apply."""
        return [step.name for step in self.steps if step.status == "not_applicable"]

    @property
    def headline(self) -> str:
        """One sentence that never says more than was found."""
        skipped = f"; not applicable: {', '.join(self.not_applicable)}" if self.not_applicable else ""
        if self.use == "ruling":
            by = "" if self.terms is None else f" under terms {self.terms.digest[:12]}"
            return f"{self.verdict}{by}{skipped}"
        if self.verdict == "accepted":
            return f"would be accepted under these terms, the submission's own{skipped}"
        return f"{self.verdict} in a self-check{skipped}"

    @property
    def attempt_counts(self) -> bool:
        """Whether this uses up one of the terms' attempts."""
        return self.reason not in FREE

    @property
    def final(self) -> bool:
        """Whether nothing more is to be ruled on: an undecided attempt with another to follow is not final."""
        attempts = self.terms.attempts if self.terms else 1
        return self.verdict != "inconclusive" or (self.attempt_counts and self.attempt >= attempts)

    def rule_again(self) -> Verdict | None:
        """The claim's ruling, made again from what was measured. Raises InputError for what cannot be ruled on."""
        if self.claim is None or self.measured is None:
            return None
        if self.terms is None:
            return rule(self.claim, self.measured.measurements)
        return rule(self.claim, self.measured.measurements, alpha=self.terms.alpha_per_attempt)

    @classmethod
    def from_dict(
        cls, data: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None
    ) -> Verification:
        """One that was stored as an evidence's predicate; ``arrays`` are those of the measurements' units.

        ``rule_again`` makes its ruling anew. The environment is not restored. Raises InputError for what is none.
        """
        try:
            made = cls(
                submission=str(data["submission"]),
                use=data["use"],
                verdict=data["verdict"],
                reason=Reason(data["reason"]),
                detail=str(data["detail"]),
                commit=data["commit"],
                paper=data["paper"],
                claim=None if data["claim"] is None else Claim.model_validate(data["claim"]),
                claim_given=bool(data["claim_given"]),
                terms=None if data["terms"] is None else Terms.model_validate(data["terms"]),
                attempt=int(data["attempt"]),
                draw=Draw.from_dict(data["draw"]),
                rung=None if data["rung"] is None else int(data["rung"]["number"]),
                steps=[Step.from_dict(step) for step in data["checks"]],
                findings=[Finding(**one) for one in data["checklist"]],
                measured=None if data["measured"] is None else Measured.from_dict(data["measured"], arrays),
                ruling=None if data["ruling"] is None else Verdict(**data["ruling"]),
                recorded=list(data["commands"]),
                seconds=float(data["seconds"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"this is no stored verification ({type(error).__name__}: {str(error)[:100]}); restore it."
            ) from error
        if made.draw is not None and made.draw.attempt != made.attempt:
            raise InputError("the draw is another attempt's; restore it.")
        return made

    def as_dict(self) -> dict[str, Any]:
        """What an entrant may see; the organiser has all of it in the folder of the evidence."""
        return {
            "verdict": self.verdict,
            "use": self.use,
            "headline": self.headline,
            "reason": self.reason.value,
            "detail": self.detail
            if self._figures_shown
            else "the figures are shown when the ruling is final",
            "submission": self.submission,
            "commit": self.commit,
            "paper": self.paper,
            "claim": self.claim.id if self.claim else None,
            "claim_given": self.claim_given,
            "attempt": self.attempt,
            "attempt_counts": self.attempt_counts,
            "final": self.final,
            "rung": self._rung(),
            "draw": self.draw.as_dict(opened=self.final and self.attempt_counts) if self.draw else None,
            "checks": [step.as_dict() for step in self.steps] if self._figures_shown else self._steps_alone(),
            "checklist": [one.as_dict() for one in self.findings],
            "measured": self._measured() if self._figures_shown else None,
            "ruling": self.ruling.as_dict() if self.ruling and self._figures_shown else None,
            "commands": [
                *self.recorded,
                *(
                    {
                        **done.as_dict(),
                        "stdout": shown(done.outcome.stdout),
                        "stderr": shown(done.outcome.stderr),
                    }
                    for done in self.commands
                ),
            ],
            "sandboxed": all(
                [
                    *(done.outcome.sandboxed for done in self.commands),
                    *(bool(done["sandboxed"]) for done in self.recorded),
                ]
            ),
            "seconds": round(self.seconds, 3),
            "evidence": str(self.evidence) if self.evidence else None,
        }

    @property
    def _figures_shown(self) -> bool:
        return self.use == "self-check" or self.final or self.measured is None

    def _steps_alone(self) -> list[dict[str, Any]]:
        return [
            {"name": step.name, "status": step.status, "reason": step.reason.value} for step in self.steps
        ]

    def _rung(self) -> dict[str, Any] | None:
        return None if self.rung is None else {"number": self.rung, "is": RUNGS[self.rung]}

    def _measured(self) -> dict[str, Any] | None:
        if self.measured is None:
            return None
        value = self.ruling.value if self.ruling else None
        runs = [
            {"seed": run["seed"], "value": run["value"], "examples": len(run["examples"] or ())}
            for run in self.measured.measurements.as_dict()["runs"]
        ]
        stated = self.measured.as_dict()["stated"]
        measured = self.measured
        return {
            "value": value,
            "runs": runs,
            "how": measured.how,
            "labels": measured.labels,
            "stated": stated,
        }
