"""A self-check: the entrant's own. It takes the submission's claim, waivers and measurements at their word.

prepare -> check -> environment -> evaluate -> rule -> control -> replay -> chain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fuxian.errors import InputError
from fuxian.paper import Claim
from fuxian.submission.checklist import check_manifest
from fuxian.submission.manifest import FILE_NAME, Manifest, load_manifest
from fuxian.verdict import rule
from fuxian.verify.again import measured_again
from fuxian.verify.commands import Workspace, data_folder
from fuxian.verify.control import control
from fuxian.verify.data_digest import data_digest
from fuxian.verify.environment import environment_for
from fuxian.verify.export_chain import run_chain
from fuxian.verify.flow import Flow, Made, conclude, differences, failing_line, pinned, require_ruling, said
from fuxian.verify.measured_figure import evaluate
from fuxian.verify.reasons import Failed, Reason
from fuxian.verify.replay import replay
from fuxian.verify.score_by_recipe import score_by_recipe, scored_by_recipe
from fuxian.verify.source import Source


@dataclass
class SelfCheck:
    """One self-check in the making."""

    flow: Flow
    workspace: Callable[[Manifest, Claim], Workspace]
    """Where the submission's commands run; it is made when the environment is there."""
    claim_id: str | None
    seeds: int | None
    replay_steps: int
    again: Path | None
    """The folder of an earlier self-check whose evaluation is read anew instead of run."""

    def run(self, submission: str) -> None:
        """Every step, in order. Raises Failed at the first that fails, and InputError for what cannot be read."""
        flow, done = self.flow, self.flow.done
        source = flow.step("prepare", lambda: pinned(flow, submission), differences)
        manifest = _manifest(source, submission)
        done.paper = manifest.paper.id
        claim = done.claim = manifest.claim(self.claim_id)
        flow.subject_code(source)
        flow.subject_weights(source, manifest, claim)
        flow.step("check", lambda: self._check(manifest))
        for name in sorted({*manifest.data, *claim.data}):
            flow.subject(f"data:{name}", data_digest(data_folder(name)))
        done.environment = flow.step("environment", lambda: environment_for(manifest))
        at = self.workspace(manifest, claim)
        flow.step("evaluate", lambda: self._evaluate(at))
        flow.step("rule", lambda: self._rule(claim))
        flow.step("control", lambda: self._control(at))
        flow.step("replay", lambda: said(replay(at, self.replay_steps)))
        flow.step("chain", lambda: said(run_chain(at)))
        conclude(done)

    def _check(self, manifest: Manifest) -> Made:
        self.flow.done.findings = check_manifest(manifest)
        return failing_line(self.flow.done.findings)

    def _evaluate(self, at: Workspace) -> Made:
        scored = self.seeds is None and scored_by_recipe(at.manifest)
        if self.again is not None:
            if scored:
                raise InputError(
                    "the figure of this submission comes from its predict, which is run anew; leave --again out."
                )
            measured = measured_again(at, self.again)
        else:
            measured = score_by_recipe(at) if scored else evaluate(at, self.seeds)
        self.flow.done.measured = measured
        earlier = "" if self.again is None else ", of the evaluation that was kept"
        return "pass", f"figure from {measured.how}{earlier}", {}

    def _rule(self, claim: Claim) -> Made:
        done = self.flow.done
        assert done.measured is not None  # noqa: S101 - the evaluate step has set it
        try:
            done.ruling = rule(claim, done.measured.measurements)
        except InputError as error:
            raise Failed(Reason.METRIC_INVALID, str(error)) from error
        return require_ruling(done)

    def _control(self, at: Workspace) -> Made:
        done = self.flow.done
        assert done.measured is not None and done.ruling is not None  # noqa: S101 - the steps before have set them
        return said(control(at, done.measured, done.ruling))


def _manifest(source: Source, submission: str) -> Manifest:
    if FILE_NAME in source.differing and not (source.folder / FILE_NAME).exists():
        raise InputError(f"{submission}: {FILE_NAME} is not committed; commit it, for a commit is verified.")
    return load_manifest(source.folder)
