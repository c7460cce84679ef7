"""The whole acceptance, in order: pin, check, environment, evaluate, rule, control, replay, chain, evidence.

A submission is rejected at the first step that fails, with that step's reason code; nothing after it is run. So the
entrant and the organiser, who run the same steps, get the same verdict.
"""

from __future__ import annotations

import json
import platform
import shutil
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import fuxian
from fuxian.errors import InputError, PlatformError
from fuxian.paper import Claim
from fuxian.submission.checklist import Finding, check_manifest
from fuxian.submission.checklist.finding import listed
from fuxian.submission.manifest import FILE_NAME, Manifest, load_manifest
from fuxian.verdict import Verdict, rule, write_measurements
from fuxian.verify import evidence
from fuxian.verify.chain import run_chain
from fuxian.verify.commands import Allowance, Done, Workplace, data_folder
from fuxian.verify.control import control
from fuxian.verify.data_digest import data_digest
from fuxian.verify.entrant_output import shown
from fuxian.verify.environment import Environment, environment_for
from fuxian.verify.evaluate import Measured, evaluate
from fuxian.verify.reasons import OF_FINDING, Failed, Reason
from fuxian.verify.replay import replay
from fuxian.verify.score import score
from fuxian.verify.score_by_recipe import score_by_recipe, scored_by_recipe
from fuxian.verify.source import Source, file_digest, pin, tree_digest

Word = Literal["accepted", "rejected", "inconclusive"]
Status = Literal["pass", "fail", "not_applicable", "inconclusive"]
Progress = Callable[[str], None]
REPLAY_STEPS = 10
TRACEBACK = "traceback.txt"
UNDECIDING = frozenset({Reason.INTERNAL, Reason.CANCELLED, Reason.REPLAY_UNSTABLE, Reason.UNDECIDED})
"""With these a submission is neither accepted nor rejected."""


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


@dataclass
class Verification:
    """A finished verification. ``verdict`` and ``reason`` are the ruling; the rest is what it rests on."""

    submission: str
    verdict: Word = "inconclusive"
    reason: Reason = Reason.INTERNAL
    detail: str = ""
    """One sentence on the reason."""
    commit: str | None = None
    paper: str | None = None
    claim: Claim | None = None
    claim_given: bool = False
    """Whether the claim came from who verifies, and not from the submission."""
    steps: list[Step] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    measured: Measured | None = None
    ruling: Verdict | None = None
    environment: Environment | None = None
    commands: list[Done] = field(default_factory=list)
    seconds: float = 0.0
    evidence: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        """What an entrant may see; the organiser has all of it in the folder of the evidence."""
        return {
            "verdict": self.verdict,
            "reason": self.reason.value,
            "detail": self.detail,
            "submission": self.submission,
            "commit": self.commit,
            "paper": self.paper,
            "claim": self.claim.id if self.claim else None,
            "claim_given": self.claim_given,
            "checks": [step.as_dict() for step in self.steps],
            "checklist": [one.as_dict() for one in self.findings],
            "measured": self._measured(),
            "ruling": self.ruling.as_dict() if self.ruling else None,
            "commands": [
                {
                    **done.as_dict(),
                    "stdout": shown(done.outcome.stdout),
                    "stderr": shown(done.outcome.stderr),
                }
                for done in self.commands
            ],
            "sandboxed": all(done.outcome.sandboxed for done in self.commands),
            "seconds": round(self.seconds, 3),
            "evidence": str(self.evidence) if self.evidence else None,
        }

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


def verify(
    submission: str,
    results: Path,
    *,
    claim_id: str | None = None,
    claim: Claim | None = None,
    labels: Path | None = None,
    seeds: int | None = None,
    replay_steps: int = REPLAY_STEPS,
    allowance: Allowance | None = None,
    allow_unsandboxed: bool = False,
    cancel: threading.Event | None = None,
    progress: Progress = lambda what: None,
) -> Verification:
    """Verifies a submission, a folder or ``https://...@COMMIT``, and leaves evidence in the new folder ``results``.

    ``claim_id`` chooses among the submission's claims. An organiser gives the ``claim`` itself, with the target that
    is really to be reached; otherwise it is what the submission says it is, and the evidence says so. With ``labels``,
    a file that the submission never sees, its predictions are scored instead of its evaluation being run.

    Raises InputError for a submission that cannot be read at all: no folder, no manifest, an unknown claim. What is
    wrong with anything later is in the verdict.
    """
    if results.exists():
        raise InputError(f"{results} is there already; name a new folder for the evidence.")
    began = time.monotonic()
    done = Verification(submission)
    with tempfile.TemporaryDirectory(prefix="fuxian-verify-") as temporary:
        place = Path(temporary)
        flow = _Flow(done, place, progress)
        subjects: list[dict[str, Any]] = []
        try:
            source = flow.step("prepare", lambda: _pin(submission, place, done), _differences)
            manifest = _manifest(source, submission)
            done.paper = manifest.paper.id
            done.claim_given = claim is not None
            done.claim = claim or manifest.claim(claim_id)
            subjects += _subjects(source, manifest, done.claim)
            flow.step("check", lambda: _check(manifest, done))
            subjects += _data_subjects(manifest, done)
            done.environment = flow.step("environment", lambda: _environment(manifest))
            at = Workplace(
                manifest=manifest,
                claim=done.claim,
                environment=done.environment,
                place=place / "runs",
                allowance=allowance or Allowance(),
                allow_unsandboxed=allow_unsandboxed,
                cancel=cancel,
                done=done.commands,
            )
            at.place.mkdir()
            flow.step("evaluate", lambda: _evaluate(at, seeds, labels, done))
            flow.step("rule", lambda: _rule(done))
            flow.step("control", lambda: _control(at, done))
            flow.step("replay", lambda: _said(replay(at, replay_steps)))
            flow.step("chain", lambda: _said(run_chain(at)))
            _conclude(done)
        except Failed as error:
            done.reason, done.detail = error.reason, error.sentence
            done.verdict = "inconclusive" if error.reason in UNDECIDING else "rejected"
        except PlatformError as error:
            done.verdict, done.reason, done.detail = "inconclusive", Reason.INTERNAL, str(error)
        except InputError as error:
            # What was copied lies in a temporary folder that nobody else knows.
            copied = str(place / "source" / "work")
            raise InputError(str(error).replace(copied, submission.rstrip("/"))) from error
        except Exception as error:
            # A submission that trips Fuxian up still gets a reason and evidence; the organiser gets the traceback.
            done.verdict, done.reason = "inconclusive", Reason.INTERNAL
            done.detail = f"{type(error).__name__} in Fuxian itself; its traceback lies beside the evidence."
            (place / TRACEBACK).write_text(traceback.format_exc(), encoding="utf-8", errors="replace")
        done.seconds = time.monotonic() - began
        _leave_evidence(done, subjects, place, results)
    return done


@dataclass
class _Flow:
    """Times each step and notes how it ended."""

    done: Verification
    place: Path
    progress: Progress

    def step(self, name: str, action: Callable[[], Any], say: Callable[[Any], str] = lambda made: "") -> Any:
        self.progress(name)
        began = time.monotonic()
        try:
            made = action()
        except (Failed, PlatformError) as error:
            reason = error.reason if isinstance(error, Failed) else Reason.INTERNAL
            status: Status = "inconclusive" if reason in UNDECIDING else "fail"
            self._note(name, status, reason, str(error), began, {})
            raise
        status, detail, more = made if isinstance(made, tuple) else ("pass", say(made), {})
        self._note(name, status, Reason.OK, detail, began, more)
        return made

    def _note(
        self, name: str, status: Status, reason: Reason, detail: str, began: float, more: dict[str, Any]
    ) -> None:
        self.done.steps.append(Step(name, status, reason, detail, time.monotonic() - began, more))


def _pin(submission: str, place: Path, done: Verification) -> Source:
    source = pin(submission, place / "source")
    done.commit = source.commit
    return source


def _differences(source: Source) -> str:
    """A sentence on what is not in the commit, empty where all is."""
    names = source.differing
    if source.commit is None or not names:
        return ""
    what = f"{len(names)} files differ" if len(names) > 1 else "1 file differs"
    return f"{what} from commit {source.commit[:10]}, which was verified: {listed(list(names))}"


def _manifest(source: Source, submission: str) -> Manifest:
    if FILE_NAME in source.differing and not (source.folder / FILE_NAME).exists():
        raise InputError(f"{submission}: {FILE_NAME} is not committed; commit it, for a commit is verified.")
    return load_manifest(source.folder)


def _check(manifest: Manifest, done: Verification) -> tuple[Status, str, dict[str, Any]]:
    done.findings = check_manifest(manifest)
    failing = [one for one in done.findings if one.status == "fail"]
    # What could do harm is said first.
    for one in sorted(failing, key=lambda one: one.id not in OF_FINDING):
        where = f"{one.file}: " if one.file else ""
        raise Failed(
            OF_FINDING.get(one.id, Reason.LAYOUT), f"{one.title}: {where}{one.what}; {one.mend or 'mend it'}."
        )
    waived = sum(one.status == "waived" for one in done.findings)
    return "pass", f"{len(done.findings)} lines, {waived} waived", {}


def _environment(manifest: Manifest) -> Environment:
    return environment_for(manifest)


def _evaluate(
    at: Workplace, seeds: int | None, labels: Path | None, done: Verification
) -> tuple[Status, str, dict[str, Any]]:
    if labels is not None:
        done.measured = score(at, labels)
    elif seeds is None and scored_by_recipe(at.manifest):
        done.measured = score_by_recipe(at)
    else:
        done.measured = evaluate(at, seeds)
    return "pass", f"figure from {done.measured.how}", {}


def _rule(done: Verification) -> tuple[Status, str, dict[str, Any]]:
    assert done.claim is not None and done.measured is not None  # noqa: S101 - the steps before have set them
    try:
        done.ruling = rule(done.claim, done.measured.measurements)
    except InputError as error:
        raise Failed(Reason.METRIC_INVALID, str(error)) from error
    if done.ruling.verdict == "accepted":
        return "pass", done.ruling.reason, {}
    if done.ruling.verdict == "inconclusive":
        bare = done.claim.subject == "weights" and done.measured.how == "stated by the command"
        mend = " A command names the file that it writes them to as output under [commands]." if bare else ""
        raise Failed(Reason.UNDECIDED, done.ruling.reason + mend)
    why = done.ruling.reason
    raise Failed(Reason.METRIC_INVALID if done.ruling.value is None else Reason.METRIC_SHORT, why)


def _control(at: Workplace, done: Verification) -> tuple[Status, str, dict[str, Any]]:
    assert done.measured is not None and done.ruling is not None  # noqa: S101 - the steps before have set them
    return _said(control(at, done.measured, done.ruling))


def _said(result: Any) -> tuple[Status, str, dict[str, Any]]:
    more = result.as_dict()
    return more.pop("status"), more.pop("detail"), more


def _conclude(done: Verification) -> None:
    assert done.ruling is not None  # noqa: S101 - the rule step has set it
    done.verdict, done.reason, done.detail = "accepted", Reason.OK, done.ruling.reason


def _subjects(source: Source, manifest: Manifest, claim: Claim) -> list[dict[str, Any]]:
    digest = {"sha256": tree_digest(source.folder)}
    if source.commit:
        digest["gitCommit"] = source.commit
    subjects = [{"name": "code:submission", "digest": digest}]
    checkpoint = manifest.checkpoint_of(claim)
    if checkpoint is not None and (source.folder / checkpoint).is_file():
        subjects.append(
            {
                "name": f"weights:{checkpoint}",
                "digest": {"sha256": file_digest(source.folder / checkpoint)},
            }
        )
    return subjects


def _data_subjects(manifest: Manifest, done: Verification) -> list[dict[str, Any]]:
    assert done.claim is not None  # noqa: S101 - set before
    odd = sorted(manifest.data.keys() - set(done.claim.data))
    if done.claim_given and odd:
        # It would be seen by the submission, and could be labels.
        raise Failed(Reason.LAYOUT, f"the claim needs no data set {odd[0]!r}; take it out of [data].")
    names = sorted({*manifest.data, *done.claim.data})
    return [{"name": f"data:{name}", "digest": {"sha256": data_digest(data_folder(name))}} for name in names]


def _leave_evidence(done: Verification, subjects: list[dict[str, Any]], place: Path, results: Path) -> None:
    """Whole outputs, the bundle and the signed statement: what the organiser keeps."""
    results.mkdir(parents=True)
    bundle = place / "source" / "submission.bundle"
    if bundle.exists():
        shutil.copy(bundle, results / bundle.name)
    if (place / TRACEBACK).exists():
        shutil.copy(place / TRACEBACK, results / TRACEBACK)
    for command in done.commands:
        logs = results / "logs" / command.name
        logs.mkdir(parents=True)
        for name in ("stdout.txt", "stderr.txt"):
            shutil.copy(command.made / name, logs / name)
    if done.measured is not None and done.claim is not None:
        # As in a run folder: `fuxian package --run` takes it from here.
        measured = {
            "paper": done.paper,
            "claim": done.claim.id,
            "scope": done.claim.scope,
            "metric": done.claim.metric,
        }
        write_measurements(results / "measurements.json", done.measured.measurements, measured)
        _write(results / "environment.json", _versions(done.environment))
    predicate = done.as_dict()
    for command, shown_to_entrant in zip(done.commands, predicate["commands"], strict=True):
        # The whole output lies beside the statement.
        shown_to_entrant.update(command.as_dict())
        del shown_to_entrant["stdout"], shown_to_entrant["stderr"]
    predicate |= {
        "claim": done.claim.model_dump(mode="json") if done.claim else None,
        "measured": done.measured.as_dict() if done.measured else None,
        "environment": _described(done.environment),
    }
    done.evidence = evidence.write(results, subjects, predicate)


def _write(file: Path, document: dict[str, Any]) -> None:
    file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _versions(environment: Environment | None) -> dict[str, str]:
    """What the commands ran on, in the words of a run folder's environment.json."""
    packages = environment.packages if environment else {}
    return {"python": platform.python_version(), "platform": platform.platform(), **packages}


def _described(environment: Environment | None) -> dict[str, Any]:
    asked = (
        {"lock": environment.lock, "made": environment.made, "packages": environment.packages}
        if environment
        else {}
    )
    return {
        "fuxian": fuxian.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        **asked,
    }
