"""A ruling: the acceptance on the organiser's terms. What the submission states decides nothing in it.

prepare -> claim -> check -> origin -> copies -> environment -> draw -> predict -> rule -> control -> training ->
replay -> chain; a claim about a procedure is trained anew, from drawn seeds, before it predicts. The commit is fixed
before anything is drawn, and only what Fuxian computed from predictions of the named weights is ruled on.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fuxian.errors import InputError, PlatformError
from fuxian.paper import Claim
from fuxian.submission.checklist import check_manifest
from fuxian.submission.checklist.finding import listed
from fuxian.submission.manifest import FILE_NAME, Manifest, Waiver, load_manifest
from fuxian.verdict import Measurements, Verdict, rule
from fuxian.verify.commands import Workspace, data_folder, run_command
from fuxian.verify.control import Controls, judge_controls
from fuxian.verify.copies import copies_of_weights
from fuxian.verify.data_digest import data_digest
from fuxian.verify.drawing import Draw
from fuxian.verify.entrant_weights import load_weights
from fuxian.verify.environment import environment_for
from fuxian.verify.examiner import Test, draw_test, score_predictions
from fuxian.verify.export_chain import run_chain
from fuxian.verify.flow import Flow, Made, conclude, differences, failing_line, pinned, require_ruling, said
from fuxian.verify.intervals import MODEL, kept_checkpoints
from fuxian.verify.measured_figure import Measured, trained_weights
from fuxian.verify.origin import likeness, origin
from fuxian.verify.reasons import Failed, Reason
from fuxian.verify.replay import replay as replay_log
from fuxian.verify.rungs import Predicted, Scene, Unfit, predict, predict_also
from fuxian.verify.source import Source, tree_digest
from fuxian.verify.terms import Terms, same_claim
from fuxian.verify.training import Standard, training

WAIVED = "the organiser's terms waive it"
READING = frozenset({"manifest", "claim", "check", "origin", "copies"})
"""Steps that do little else than read the submission: what trips them up is its files, in others it may be a defect."""


@dataclass
class Ruling:
    """One ruling in the making."""

    flow: Flow
    terms: Terms
    secret: bytes
    workspace: Callable[[Manifest, Claim], Workspace]
    """Where the submission's commands run; it is made when the environment is there."""

    def run(self, submission: str) -> None:
        """Every step, in order. Raises Failed at the first that fails."""
        flow, terms, done = self.flow, self.terms, self.flow.done
        source = flow.step("prepare", lambda: pinned(flow, submission), differences)
        done.draw = Draw(self.secret, source.commit or tree_digest(source.folder), done.attempt)
        flow.subject_code(source)
        manifest = self._entrants("manifest", lambda: self._manifest(source))
        done.paper = terms.paper
        claim = self._entrants("claim", lambda: self._claim(manifest))
        flow.subject_weights(source, manifest, claim)
        self._shown("check", lambda: self._check(manifest))
        for name in sorted({*claim.data, *terms.claim.data}):
            flow.subject(f"data:{name}", data_digest(data_folder(name)))
        submitted = source.folder / str(manifest.checkpoint_of(claim))
        copies: tuple[str, ...] = ()
        if terms.claim.subject == "weights":
            self._shown("origin", lambda: said(origin(submitted, terms)))
            copies = self._entrants("copies", lambda: self._copies(manifest, claim, submitted), _listed)
        done.environment = self._entrants("environment", lambda: environment_for(manifest))
        at = self.workspace(manifest, claim)
        at.copies = copies
        weights = {terms.claim.seeds[0]: submitted}
        if terms.claim.subject == "procedure":
            weights = self._entrants("train", lambda: self._retrained(at))
        test = flow.step("draw", lambda: self._draw(at), _drawn)
        predicted = self._entrants("predict", lambda: self._predict(at, test, weights), _by)
        done.rung = max(one.rung for one in predicted.values())
        self._entrants("rule", lambda: self._rule(test, predicted))
        first = next(iter(predicted.values()))
        if terms.known_weights:
            scene = Scene(at, terms, test, submitted, self._seed("control"))
            self._entrants("likeness", lambda: said(likeness(scene, first.predictions)))
        controls: list[Controls] = []

        def control() -> Made:
            controls.append(judge_controls(terms, test, first, _made(done.ruling)))
            return said(controls[0])

        self._shown("control", control)
        standard = Standard(
            lambda file: self._figure_of(at, test, file, first.rung),
            _made(done.ruling),
            controls[0].worthless,
            lambda file: self._verdict_of(at, test, file),
        )
        trained: list[Made] = []

        def train() -> Made:
            trained.append(said(training(at, terms, done.draw, standard)))
            return trained[0]

        def replay() -> Made:
            try:
                made = said(replay_log(at, terms.steps_replayed))
            except Failed as error:
                # What rounding hides in the first losses, a training made here and ruled on has shown.
                if error.reason is not Reason.REPLAY_UNSTABLE or trained[0][0] != "pass":
                    raise
                return "not_applicable", error.sentence.rstrip("."), {}
            return self._wanted("replay", made)

        self._shown("training", train)
        self._entrants("replay", replay)
        self._shown("chain", lambda: said(run_chain(at)))
        conclude(done)

    def _seed(self, what: str) -> int:
        assert self.flow.done.draw is not None  # noqa: S101 - run() has set it
        return self.flow.done.draw.seed(what)

    def _entrants(
        self, name: str, action: Callable[[], Any], say: Callable[[Any], str] = lambda made: ""
    ) -> Any:
        """A step that reads what the entrant wrote: what cannot be read rejects."""

        def read() -> Any:
            try:
                return action()
            except InputError as error:
                raise Failed(Reason.MALFORMED, self.flow.without_paths(str(error))) from error
            except (RecursionError, MemoryError, ValueError, OverflowError) as error:
                if name not in READING:
                    raise
                raise Failed(
                    Reason.MALFORMED, f"its {name} cannot be read ({type(error).__name__}); make it simpler."
                ) from error

        return self.flow.step(name, read, say)

    def _shown(self, name: str, action: Callable[[], Made]) -> None:
        """A step that the terms may want passed."""
        self._entrants(name, lambda: self._wanted(name, action()))

    def _wanted(self, name: str, made: Made) -> Made:
        """What a step made. Raises Failed where it does not apply and the terms want it passed."""
        if made[0] == "not_applicable" and name in self.terms.must_pass:
            raise Failed(Reason.NOT_SHOWN, f"{name} does not apply, and the terms want it passed: {made[1]}.")
        return made

    def _manifest(self, source: Source) -> Manifest:
        overlay = self.terms.overlay_folder
        if overlay is not None:
            shutil.copytree(overlay, source.folder, dirs_exist_ok=True)
        if not (source.folder / FILE_NAME).is_file():
            raise InputError(f"there is no {FILE_NAME}; write one, or commit it, for a commit is ruled on.")
        manifest = load_manifest(source.folder)
        # What the submission waives does not count.
        waived = tuple(Waiver(id=name, reason=WAIVED) for name in self.terms.waive)
        return manifest.model_copy(update={"waive": waived})

    def _claim(self, manifest: Manifest) -> Claim:
        """The submission's claim that is the terms', whatever it calls it, with weights that can be read."""
        self.flow.done.claim = self.terms.claim
        claims = [manifest.claim(name) for name in manifest.claims]
        retrained = self.terms.claim.subject == "procedure"
        with_weights = [claim for claim in claims if retrained or self._weights(manifest, claim) is not None]
        if not with_weights:
            named = manifest.checkpoint_of(claims[0])
            missing = (
                "names no checkpoint" if named is None else f"names {named} as checkpoint, which is not there"
            )
            raise Failed(Reason.NO_WEIGHTS, f"the manifest {missing}; hand in the trained weights.")
        differing = {claim.id: same_claim(self.terms.claim, claim) for claim in with_weights}
        same = next((claim for claim in with_weights if not differing[claim.id]), None)
        nearest = same or min(with_weights, key=lambda claim: len(differing[claim.id]))
        weights = self._weights(manifest, nearest)
        if weights is not None:
            load_weights(weights)
        if same is None:
            raise Failed(
                Reason.CLAIM,
                f"the terms rule on {self.terms.paper}/{self.terms.claim.id}, and the submission claims something else:"
                f" its {nearest.id} differs in {', '.join(differing[nearest.id])}; use the organiser's paper.toml.",
            )
        odd = sorted(manifest.data.keys() - set(self.terms.claim.data))
        if odd:
            # It would be seen by the submission, and could be labels.
            raise Failed(Reason.LAYOUT, f"the claim needs no data set {odd[0]!r}; take it out of [data].")
        return same

    def _weights(self, manifest: Manifest, claim: Claim) -> Path | None:
        named = manifest.checkpoint_of(claim)
        file = None if named is None else manifest.folder / named
        return file if file is not None and file.is_file() else None

    def _check(self, manifest: Manifest) -> Made:
        done = self.flow.done
        done.findings = check_manifest(manifest)
        return failing_line(done.findings)

    def _copies(self, manifest: Manifest, claim: Claim, submitted: Path) -> tuple[str, ...]:
        places = kept_checkpoints(manifest, claim).values()
        kept = [place / MODEL for place in places if (place / MODEL).is_file()]
        return copies_of_weights(manifest.folder, submitted, kept, self.terms.starting_weights)

    def _draw(self, at: Workspace) -> Test:
        try:
            return draw_test(self.terms, self._seed("test"), at.place / "test")
        except InputError as error:
            # It is the organiser's own paper that cannot be drawn from.
            raise PlatformError(f"the terms' test cannot be drawn: {error}") from error

    def _retrained(self, at: Workspace) -> dict[int, Path]:
        """Weights by seed, of as many trainings as the claim has seeds, each from a drawn one."""
        made = {}
        for number in range(len(self.terms.claim.seeds)):
            seed = self._seed(f"training {number}") % 2**31
            log = at.manifest.log_of(at.claim)
            trained = run_command(
                at, "train", f"train-{number}", seed=seed, bare=True, data=True, without=[log] if log else []
            )
            made[seed] = trained_weights(at, trained)
        return made

    def _predict(self, at: Workspace, test: Test, weights: dict[int, Path]) -> dict[int, Predicted]:
        return {
            seed: predict(Scene(at, self.terms, test, file, self._seed("control")))
            for seed, file in weights.items()
        }

    def _figure_of(self, at: Workspace, test: Test, weights: Path, rung: int) -> float | None:
        """Of other weights, on a few drawn batches; None where their format is not the submitted weights', or they
        give no finite figure."""
        named = at.manifest.checkpoint_of(at.claim)
        if rung != 1 and weights.suffix != Path(str(named)).suffix:
            return None
        try:
            batches, predictions = predict_also(
                Scene(at, self.terms, test, weights, self._seed("control")), rung
            )
        except Unfit:
            return None
        except Failed as error:
            if error.reason is not Reason.METRIC_INVALID:
                raise
            return None
        value = score_predictions(self.terms, test, [(predictions, batches)])[0].value
        return value if math.isfinite(value) else None

    def _verdict_of(self, at: Workspace, test: Test, weights: Path) -> Verdict:
        """Of other weights, on the whole drawn test."""
        made = predict(Scene(at, self.terms, test, weights, self._seed("control")))
        runs = score_predictions(self.terms, test, [(made.predictions, range(test.batches))])
        return rule(self.terms.claim, Measurements(tuple(runs)), alpha=self.terms.alpha_per_attempt)

    def _rule(self, test: Test, predicted: dict[int, Predicted]) -> Made:
        done, claim = self.flow.done, self.terms.claim
        try:
            scored = score_predictions(
                self.terms, test, [(one.predictions, range(test.batches)) for one in predicted.values()]
            )
            runs = tuple(replace(run, seed=seed) for seed, run in zip(predicted, scored, strict=True))
            done.measured = Measured(
                Measurements(runs), "predictions scored by the organiser", (), test.labels
            )
            done.ruling = rule(claim, done.measured.measurements, alpha=self.terms.alpha_per_attempt)
        except InputError as error:
            raise Failed(Reason.METRIC_INVALID, str(error)) from error
        return require_ruling(done)


def _made(ruling: Verdict | None) -> Verdict:
    assert ruling is not None  # noqa: S101 - the rule step has set it
    return ruling


def _listed(copies: tuple[str, ...]) -> str:
    """A clause on files that are taken out, empty where there are none."""
    return (
        f"not shown to what is run, as the trained weights are in it: {listed(list(copies))}"
        if copies
        else ""
    )


def _drawn(test: Test) -> str:
    return f"{test.units or test.batches} {'units' if test.units else 'batches'}, {test.labels}"


def _by(predicted: dict[int, Predicted]) -> str:
    weakest = max(predicted.values(), key=lambda one: one.rung)
    weaker = f"; not stronger, for {'; '.join(weakest.why_not_higher)}" if weakest.why_not_higher else ""
    return f"rung {weakest.rung}{weaker}"
