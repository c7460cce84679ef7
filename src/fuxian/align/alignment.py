"""The whole comparison: records both sides where they are live, judges every stage, finds the first divergence."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fuxian.align.divergence import Diagnosis, Divergence, Scene
from fuxian.align.locate import INNER_TOLERANCE, locate, uses
from fuxian.align.module_table import Row, side_by_side
from fuxian.align.record import precision, record
from fuxian.align.recording import Recording
from fuxian.align.stage_names import CAUSAL_ORDER, STAGES
from fuxian.align.stages import Pair, StageResult, judge_all, pair
from fuxian.errors import InputError
from fuxian.events import Progress
from fuxian.json_files import json_text
from fuxian.recipe import Recipe, load_recipe
from fuxian.weights import Overrides

if TYPE_CHECKING:
    from fuxian.align.mend import Mend


@dataclass
class Alignment:
    """What the comparison says.

    ``verdict`` is ``aligned``, ``diverged`` or ``inconclusive``; ``first`` is the first divergence with its
    ``diagnosis``, None where there is none; ``inventory`` that of parameters without a counterpart;
    ``rows`` are both sides' modules in the order in which they ran; ``mend`` is the change of the port's source that
    was asked for.
    """

    verdict: str
    stages: list[StageResult]
    pair: Pair
    first: Divergence | None = None
    inventory: Divergence | None = None
    diagnosis: Diagnosis | None = None
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    mend: Mend | None = None

    def as_dict(self) -> dict[str, Any]:
        """The document of ``fuxian align run --json``: plain values, which JSON gives back as they were."""
        document: dict[str, Any] = json.loads(json_text(result_json(self)))
        return document

    def stage(self, name: str) -> StageResult:
        """One stage's result. Raises KeyError for a stage that was not compared."""
        return {result.stage: result for result in self.stages}[name]


def compare_recordings(port: Recording, reference: Recording, *, diagnosed: bool = True) -> Alignment:
    """Compare a port's recording with the reference's. Imports neither framework.

    Raises InputError, with the reason, when the two were not recorded of the same inputs and weights.
    """
    _check_comparable(port, reference)
    both = pair(port, reference)
    stages = judge_all(both)
    alignment = Alignment(_verdict(stages), stages, both, notes=_notes(both))
    for result in stages:
        if result.verdict == "inconclusive" and "error" in result.facts:
            alignment.notes.append(f"{result.stage} is inconclusive: {result.notes[0]}")
        elif result.stage == "initialisation" and result.verdict == "not given":
            alignment.notes.append(f"initial values: {result.notes[0]}")
    results = {result.stage: result for result in stages}
    for stage in _causal_order(results):
        if stage in results and results[stage].verdict == "diverged":
            alignment.first = locate(both, results[stage])
            break
    inventory = results.get("configuration")
    facts = inventory.facts if inventory is not None else {}
    telling = [(side, name) for side, name in facts.get("unmatched", ()) if name not in facts["idle"]]
    if inventory is not None and telling and alignment.first is not None:
        alignment.inventory = locate(both, inventory)
        data = ("eval_data", "configuration")
        if alignment.first.stage not in data and not uses(alignment.first, telling):
            alignment.first = alignment.inventory
    if diagnosed:
        conclude(alignment)
    place = alignment.first.place if alignment.first is not None else None
    alignment.rows = side_by_side(both, place, INNER_TOLERANCE[reference.data["dtype"]])
    return alignment


OF_PARAMETERS = {
    "missing_bias",
    "missing_affine",
    "norm_kind",
    "bn_statistics",
    "untied_weights",
    "tied_weights",
}
"""Causes of a pass that say more than that a parameter has no counterpart."""


def conclude(alignment: Alignment) -> None:
    """Find the cause. A parameter without a counterpart is the headline, unless the place that uses it tells more."""
    alignment.diagnosis = diagnose(alignment.first)
    inventory, found = alignment.inventory, alignment.diagnosis
    if found is None or alignment.first is None:
        return
    telling = found.cause in OF_PARAMETERS or (found.proven and found.cause != "error")
    if inventory is None or alignment.first is inventory or alignment.first.stage == "eval_data" or telling:
        if found.place is not None:
            alignment.first = replace(alignment.first, place=found.place)
        return
    alignment.first, alignment.diagnosis = inventory, diagnose(inventory)


def diagnose(divergence: Divergence | None) -> Diagnosis | None:
    """The cause of a divergence."""
    if divergence is None:
        return None
    from fuxian.align.diagnose import diagnose as find_cause

    return find_cause(divergence)


def _causal_order(results: dict[str, StageResult]) -> Sequence[str]:
    """Usually CAUSAL_ORDER; a gradient that is not the loss's own derivative is a matter of higher order."""
    slopes = results["higher_order"].facts.get("slopes") if "higher_order" in results else None
    if slopes and all(slopes) and slopes[0]["error"] > 1e-4 > slopes[1]["error"]:
        return ["eval_data", "forward", "metric", "loss", "higher_order", *CAUSAL_ORDER]
    return CAUSAL_ORDER


def _check_comparable(port: Recording, reference: Recording) -> None:
    if (port.framework, reference.framework) == ("torch", "paddle"):
        first, second = (side.data.get("source") or side.folder for side in (port, reference))
        raise InputError(
            f"{first} is of torch and {second} of Paddle: give the Paddle port first, then its torch reference."
        )
    if port.data.get("weights_from") in (None, "own"):
        raise InputError(
            f"{port.folder}: recorded with its own weights and inputs, so that nothing can be compared;"
            f" record the port again with --inputs {reference.folder}."
        )
    if reference.data.get("weights_from") != "own":
        raise InputError(
            f"{reference.folder}: this is a port's recording; give the port first, the reference second."
        )
    for name, what in (("weights", "weights"), ("inputs", "inputs")):
        if port.data["hashes"].get(name) != reference.data["hashes"].get(name):
            raise InputError(
                f"{port.folder} was recorded with other {what} than {reference.folder} holds;"
                f" record the port again with --inputs {reference.folder}."
            )
    if port.data["dtype"] != reference.data["dtype"]:
        raise InputError(
            f"{port.folder} was recorded in {port.data['dtype']}, {reference.folder} in {reference.data['dtype']};"
            " record the port again."
        )


def _verdict(stages: list[StageResult]) -> str:
    verdicts = {result.verdict for result in stages}
    if "diverged" in verdicts:
        return "diverged"
    if "inconclusive" in verdicts or not verdicts & {"aligned"}:
        return "inconclusive"
    return "aligned"


def _notes(both: Pair) -> list[str]:
    notes = []
    if both.port.data["small"] or both.reference.data["small"]:
        notes.append("tensors above 10,000 elements were compared by sketches")
    oracle = both.reference.data.get("oracle")
    if oracle is None:
        notes.append(
            "no second precision was run: tolerances are fixed ones, and small differences stay undecided"
        )
    elif oracle["failed"]:
        notes.append(f"the reference does not run in {oracle['dtype']}: {oracle['failed'][0]}")
    return notes


def align(
    port: Recipe | str,
    reference: Recipe | Recording | str,
    *,
    stages: Sequence[str] = STAGES,
    dtype: str | None = None,
    oracle: bool = True,
    folder: Path | str | None = None,
    overrides: Overrides | None = None,
    progress: Progress | None = None,
) -> Alignment:
    """Compare a port with its reference, stage by stage.

    ``port`` and ``reference`` are recipes, or what ``load_recipe`` takes; the reference may be a recording, or
    its folder. ``dtype`` is ``float64`` or ``float32``, by default that of the recording if one is given, else
    float64; where the port or the reference cannot run in float64, float32 is taken and noted. The recordings are
    kept in ``folder`` if one is named. ``overrides`` (``fuxian.weights.load_overrides``) names weights that belong
    together where names and order do not pair them.

    Raises InputError for a bad recipe, an unknown stage, a reference that gives no batches or no outputs.
    """
    unknown = [stage for stage in stages if stage not in STAGES]
    if unknown:
        raise InputError(f"{unknown[0]!r} is no stage of alignment; the stages are {', '.join(STAGES)}.")
    names = [side if isinstance(side, str) else "" for side in (port, reference)]
    if isinstance(reference, str) and (Path(reference) / "recording.json").is_file():
        reference = Recording(reference)
    port = load_recipe(port) if isinstance(port, str) else port
    reference = load_recipe(reference) if isinstance(reference, str) else reference
    dtype = precision(dtype, reference if isinstance(reference, Recording) else None)
    with tempfile.TemporaryDirectory(prefix="fuxian-align-") as temporary:
        runner = _Runner(port, reference, tuple(stages), oracle, Path(folder or temporary), names, overrides)
        runner.progress = progress or Progress()
        alignment = runner.run(dtype)
        failed = [r for r in alignment.stages if "error" in r.facts]
        if dtype == "float64" and failed and isinstance(reference, Recipe):
            narrow = runner.run("float32")
            if len([result for result in narrow.stages if "error" in result.facts]) < len(failed):
                message = failed[0].facts["error"]["message"]
                side = "reference" if failed[0].verdict == "inconclusive" else "port"
                narrow.notes.append(f"compared in float32: the {side} does not run in float64 ({message})")
                alignment = narrow
        if alignment.first is not None:
            alignment.first = runner.with_elements(alignment.first)
            runner.progress("align", "looking for the cause")
            conclude(alignment)
        return alignment


def once_more(
    port: Recipe,
    reference: Recording,
    stages: Sequence[str],
    folder: Path,
    overrides: Overrides | None = None,
) -> Alignment:
    """The alignment of a port with a reference that was recorded before, without the cause of what differs."""
    runner = _Runner(port, reference, tuple(stages), True, folder, ["", ""], overrides)
    return runner.run(str(reference.data["dtype"]))


@dataclass
class _Runner:
    """Records both sides below a folder, as often as is needed."""

    port: Recipe
    reference: Recipe | Recording
    stages: tuple[str, ...]
    oracle: bool
    folder: Path
    names: list[str]
    overrides: Overrides | None = None
    dtype: str = "float64"
    progress: Progress = field(default_factory=Progress)

    def run(self, dtype: str) -> Alignment:
        """Record both and compare, large tensors inside the models as sketches.

        In float32 the port's own rounding widens the tolerances. What agrees without that needs no second run of
        the port in float64, so it is made only for the others.
        """
        self.dtype = dtype
        reference = self._record_reference(dtype, self.stages, self.oracle, False, dtype)
        alignment = compare_recordings(
            self._record_port(dtype, reference, self.stages, False, False), reference, diagnosed=False
        )
        if self.oracle and reference.data["dtype"] == "float32" and alignment.verdict != "aligned":
            port = self._record_port(f"{dtype}-rounding", reference, self.stages, True, False)
            alignment = compare_recordings(port, reference, diagnosed=False)
        return alignment

    def _record_reference(
        self, name: str, stages: Sequence[str], oracle: bool, keep: bool | frozenset[str], dtype: str
    ) -> Recording:
        if isinstance(self.reference, Recording):
            return self.reference
        self.progress("align", f"recording the reference in {dtype}")
        at = self.folder / f"reference-{name}"
        record(self.reference, at, stages=stages, dtype=dtype, oracle=oracle, keep_values=keep,
               source=self.names[1])  # fmt: skip
        return Recording(at)

    def _record_port(
        self,
        name: str,
        reference: Recording,
        stages: Sequence[str],
        oracle: bool,
        keep: bool | frozenset[str],
    ) -> Recording:
        self.progress(
            "align", "recording the port" + (" to find the place" if name.endswith("-place") else "")
        )
        at = self.folder / f"port-{name}"
        record(self.port, at, inputs=reference, stages=stages, oracle=oracle, keep_values=keep,
               source=self.names[0], overrides=self.overrides)  # fmt: skip
        return Recording(at)

    def with_elements(self, found: Divergence) -> Divergence:
        """The divergence with the elements of every tensor at its place, recorded again where they were not kept."""
        scenes = (found.port, found.reference)
        wanted = tuple(_unkept(scene) for scene in scenes)
        if not any(wanted):
            return found
        stages = ("forward", "backward", "loss", "training_mode", "higher_order")
        needed = [stage for stage in stages if stage in self.stages]
        name = f"{self.dtype}-place"
        reference = self._record_reference(name, needed, False, wanted[1], self.dtype)
        recordings = self._record_port(name, reference, needed, False, wanted[0]), reference
        prefix = {"loss": "loss", "training_mode": "train", "higher_order": "train"}.get(found.stage, "eval")
        filled = [
            None if scene is None else _filled(scene, recording, prefix, names)
            for scene, recording, names in zip(scenes, recordings, wanted, strict=True)
        ]
        return replace(found, port=filled[0], reference=filled[1])


def _unkept(scene: Scene | None) -> frozenset[str]:
    if scene is None:
        return frozenset()
    names = {name for call in scene.calls for name in (*call.inputs, *call.outputs)}
    return frozenset(
        name for name in names if name not in scene.tensors and not name.startswith("parameters.")
    )


def _filled(scene: Scene, recording: Recording, prefix: str, names: frozenset[str]) -> Scene:
    tensors, gradients = dict(scene.tensors), dict(scene.gradients)
    for name in names:
        for kind, held in (("values", tensors), ("value_gradients", gradients)):
            full = f"{prefix}/{kind}/{name}"
            if full in recording and recording.kept(full):
                held[name] = recording.get(full)
    return replace(scene, tensors=tensors, gradients=gradients)


def result_json(alignment: Alignment) -> dict[str, Any]:
    """The document of ``--json``."""
    first, diagnosis = alignment.first, alignment.diagnosis
    divergence = None
    if first is not None:
        call = first.port.call if first.port is not None else None
        theirs = first.reference.call if first.reference is not None else None
        divergence = {
            "stage": first.stage,
            "place": first.place,
            "call": call.name if call else None,
            "cause": diagnosis.cause if diagnosis else "unknown",
            "certainty": diagnosis.certainty if diagnosis else "unknown",
            "evidence": diagnosis.evidence if diagnosis else "",
            "line": (diagnosis.line if diagnosis else "") or (first.port.line if first.port else ""),
            "reference_place": first.reference_place,
            "reference_call": theirs.name if theirs else None,
            "error": _number(first.error),
            "tolerance": _number(first.tolerance),
            "step": first.facts.get("step"),
            "script": diagnosis.script if diagnosis else "",
        }
    mended = {} if alignment.mend is None else {"mend": alignment.mend.as_dict()}
    return {
        **mended,
        "verdict": alignment.verdict,
        "dtype": alignment.pair.reference.data["dtype"],
        "stages": [_stage_json(result) for result in alignment.stages],
        "first_divergence": divergence,
        "notes": alignment.notes,
        "port": _side_json(alignment.pair.port),
        "reference": _side_json(alignment.pair.reference),
    }


def _side_json(recording: Recording) -> dict[str, Any]:
    return {
        "framework": recording.framework,
        "source": recording.data.get("source", ""),
        "environment": recording.data.get("environment", {}),
    }


def _stage_json(result: StageResult) -> dict[str, Any]:
    return {
        "stage": result.stage,
        "verdict": result.verdict,
        "max_error": _number(result.max_error),
        "tolerance": _number(result.tolerance),
        "smallest_passing_tolerance": _number(result.max_error),
        "compared": len(result.tensors),
        "notes": result.notes,
        "known_differences": [{"name": k.name, "reason": k.reason, "bound": k.bound} for k in result.known],
        "tensors": [
            {
                "name": t.name,
                "reference_name": t.reference_name,
                "agrees": t.agrees,
                "problem": t.problem,
                "error": _number(t.error),
                "tolerance": _number(t.tolerance),
                "ulps": _number(t.ulps),
                "shape": list(t.shape),
                "sketched": t.sketched,
                "quantiles": [_number(q) for q in t.quantiles],
                "worst": [
                    {"index": i, "port": _number(p), "reference": _number(r)}
                    for i, p, r in t.worst
                    if not t.agrees
                ],
            }
            for t in result.tensors
        ],
    }


def _number(value: float | None) -> float | str | None:
    """JSON has no infinities: they are given by name."""
    if value is None:
        return None
    value = float(value)
    return value if math.isfinite(value) else str(value)
