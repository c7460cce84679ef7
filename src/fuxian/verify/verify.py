"""Verifies a submission: the entrant's own self-check, or a ruling on the organiser's terms.

Both are one checker. A self-check (``self_check.py``) takes the submission at its word about what it claims and how it
is measured, and says what would come of that; in a ruling (``ruling.py``) only the terms count. A submission is
rejected at the first step that fails, with that step's reason; nothing after it is run.
"""

from __future__ import annotations

import json
import platform
import secrets
import shutil
import threading
import time
import traceback
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fuxian
from fuxian import deadline
from fuxian.errors import InputError, PlatformError, Stopped
from fuxian.events import Listener, Progress
from fuxian.paper import Claim
from fuxian.submission.manifest import Manifest
from fuxian.temporary import temporary_folder
from fuxian.verdict import write_measurements
from fuxian.verify import evidence
from fuxian.verify.again import keep_captured
from fuxian.verify.commands import GIB, Allowance, Workspace
from fuxian.verify.drawing import new_secret
from fuxian.verify.environment import Environment
from fuxian.verify.flow import Flow
from fuxian.verify.measured_figure import EVALUATE
from fuxian.verify.reasons import Failed, Reason
from fuxian.verify.ruling import Ruling
from fuxian.verify.self_check import SelfCheck
from fuxian.verify.terms import Terms
from fuxian.verify.verification import UNDECIDING, Verification

REPLAY_STEPS = 10
TRACEBACK = "traceback.txt"


def verify(
    submission: str,
    results: Path,
    *,
    terms: Terms | None = None,
    secret: bytes | None = None,
    attempt: int = 1,
    claim_id: str | None = None,
    seeds: int | None = None,
    replay_steps: int = REPLAY_STEPS,
    again: Path | None = None,
    allowance: Allowance | None = None,
    allow_unsandboxed: bool = False,
    total_seconds: float | None = None,
    cancel: threading.Event | None = None,
    listener: Listener | None = None,
) -> Verification:
    """Verifies a submission, a folder or ``https://...@COMMIT``, and leaves evidence in the new folder ``results``.

    With ``terms`` it is a ruling. Its draws follow from ``secret`` (a new one if absent), whose hash
    (``drawing.commitment``) an organiser has published before the submission was known, and from ``attempt``: after
    INTERNAL, the same two give the same test. Without terms it is a self-check, where ``claim_id`` chooses among the
    submission's claims, ``seeds`` trains so many of the claim's seeds, and ``replay_steps`` logged steps are replayed;
    ``again`` is the results' folder of an earlier one, whose evaluation is read anew instead of run.

    ``total_seconds`` is what all of it may take (None: the terms' minutes, and in a
    self-check no limit beyond each command's own), and ``cancel`` ends it early:
    the evidence of what was done by then is left all the same. ``listener`` hears an event (step, command, seconds)
    at the beginning of every step and of every command that it runs.

    Raises InputError for a submission that is not there, and in a self-check for one that cannot be read. What is
    wrong with anything later is in the verdict; a ruling rejects what it cannot read.
    """
    if results.exists():
        raise InputError(f"{results} is there already; name a new folder for the evidence.")
    if terms is not None and not 1 <= attempt <= terms.attempts:
        raise InputError(f"the terms give {terms.attempts} attempts, and this is number {attempt}.")
    if again is not None and (terms is not None or seeds is not None):
        raise InputError("a ruling measures for itself, and so do seeds that are trained; leave --again out.")
    began = time.monotonic()
    done = Verification(submission, terms=terms, attempt=attempt, claim_given=terms is not None)
    done.use = "self-check" if terms is None else "ruling"
    room = allowance or Allowance()
    total = 60 * terms.limits.minutes if terms is not None and total_seconds is None else total_seconds
    if terms is not None:
        room = replace(
            room,
            memory=terms.limits.memory * GIB,
            cpus=terms.limits.cpus,
            seconds=min(room.seconds, 60 * terms.limits.minutes),
        )
    with temporary_folder("verify") as place:
        flow = Flow(done, place, Progress(listener, cancel))
        verified: list[Manifest] = []

        def workspace(manifest: Manifest, claim: Claim) -> Workspace:
            assert done.environment is not None  # noqa: S101 - the environment step has set it
            (place / "runs").mkdir()
            verified.append(manifest)
            return Workspace(
                manifest=manifest,
                claim=claim,
                environment=done.environment,
                place=place / "runs",
                allowance=room,
                allow_unsandboxed=allow_unsandboxed,
                cancel=cancel,
                done=done.commands,
                begins=lambda label: flow.progress(flow.current, label),
            )

        try:
            with deadline.within(total, cancel):
                if terms is None:
                    SelfCheck(flow, workspace, claim_id, seeds, replay_steps, again).run(submission)
                else:
                    Ruling(flow, terms, secret or new_secret(), workspace).run(submission)
        except Stopped as error:
            done.reason = Reason.CANCELLED if error.cancelled else Reason.TIMEOUT
            done.detail = str(error)
            done.verdict = "inconclusive" if done.reason in UNDECIDING else "rejected"
        except Failed as error:
            done.reason, done.detail = error.reason, flow.without_paths(error.sentence)
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
        _leave_evidence(done, verified[0] if verified else None, flow.subjects, place, results)
    return done


def _leave_evidence(
    done: Verification,
    manifest: Manifest | None,
    subjects: list[dict[str, Any]],
    place: Path,
    results: Path,
) -> None:
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
        if command.name == EVALUATE and manifest is not None:
            keep_captured(manifest, command, results)
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
        "detail": done.detail,
        "checks": [step.as_dict() for step in done.steps],
        "ruling": done.ruling.as_dict() if done.ruling else None,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "nonce": secrets.token_hex(16),
        "terms": done.terms.as_dict() if done.terms else None,
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
        {
            "lock": environment.lock,
            "made": environment.made,
            "packages": environment.packages,
            "archives": environment.archives,
        }
        if environment
        else {}
    )
    return {
        "fuxian": fuxian.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        **asked,
    }
