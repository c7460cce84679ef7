"""Judges each stage from the two recordings: aligned, diverged, inconclusive, or not given.

Imports neither framework. Every stage that compares the model's parameters looks at the reference's tensors as
the port lays them out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy import stats

from fuxian.align import sketch as sketches
from fuxian.align import variances
from fuxian.align.compare import FLOAT32, FLOAT64, Judge, TensorComparison, compare, compare_sketches
from fuxian.align.known import OPTIMIZER, RUNNING_VARIANCE, Known, in_calls, momentum_in_float32
from fuxian.align.mapping import Links, links_from_json
from fuxian.align.recording import Recording
from fuxian.align.stage_names import STAGES

EXACT = 1e-9
DATA_TOLERANCE = 1e-6
CONSTANT_TOLERANCE = 2e-5
"""For tables that each side computes in float32."""
RATE_TOLERANCE = 1e-5
RATE_FLOOR = 1e-6
"""Learning rates below this share of the schedule's peak count as zero."""
SIGNIFICANCE = 1e-7
"""Below this probability under equal distributions, two distributions are called different."""
SPREAD_TOLERANCE = 0.02
"""Standard deviations of initial values that differ by less are told apart by the test alone."""


@dataclass
class StageResult:
    """One stage's verdict, with every tensor compared.

    ``verdict`` is ``aligned``, ``diverged``, ``inconclusive`` or ``not given``. ``max_error`` and ``tolerance`` are
    those of the tensor that comes nearest to its tolerance, or goes furthest beyond it. ``known`` are the
    frameworks' own differences that were allowed for.
    """

    stage: str
    verdict: str
    tensors: list[TensorComparison] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    known: list[Known] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def worst(self) -> TensorComparison | None:
        """The tensor furthest beyond its tolerance."""
        return max(self.tensors, key=_excess, default=None)

    @property
    def max_error(self) -> float | None:
        return None if self.worst is None else self.worst.error

    @property
    def tolerance(self) -> float | None:
        return None if self.worst is None else self.worst.tolerance

    @property
    def differing(self) -> list[TensorComparison]:
        return [tensor for tensor in self.tensors if tensor.differs]


def _excess(tensor: TensorComparison) -> float:
    if tensor.problem:
        return float("inf")
    return tensor.error / tensor.tolerance if tensor.tolerance else tensor.error * 1e30


@dataclass
class Pair:
    """The two recordings with what relates them."""

    port: Recording
    reference: Recording
    links: Links

    def both(self, part: str) -> tuple[bool, bool]:
        return part in self.port.data["parts"], part in self.reference.data["parts"]

    def judge(self, known: Sequence[Known] = (), *, amplified: bool = True, growth: float = 0.0) -> Judge:
        return Judge(self.port, self.reference, sum(k.bound for k in known), amplified, growth)


def pair(port: Recording, reference: Recording) -> Pair:
    """The two recordings as a pair."""
    return Pair(port, reference, links_from_json(port.data["links"]))


def judge_all(both: Pair) -> list[StageResult]:
    """Every stage that was recorded, in order."""
    wanted = set(both.port.data["recorded_stages"]) & set(both.reference.data["recorded_stages"])
    return [JUDGES[stage](both) for stage in STAGES if stage in wanted]


def _verdict(stage: str, tensors: list[TensorComparison], **rest: Any) -> StageResult:
    if any(tensor.differs for tensor in tensors):
        verdict = "diverged"
    elif any(tensor.undecided for tensor in tensors) or not tensors:
        verdict = "inconclusive"
    else:
        verdict = "aligned"
    return StageResult(stage, verdict, tensors, **rest)


def _missing(both: Pair, stage: str, *parts: str) -> StageResult | None:
    """The result where a part of the recipe is missing, or the port failed; None where there is work to do."""
    for part in parts:
        port, reference = both.both(part)
        if not port and not reference:
            return StageResult(stage, "not given", notes=[f"neither recipe has {part}"])
        if port != reference:
            side = "port" if reference else "reference"
            return StageResult(stage, "not given", notes=[f"the {side} has no {part}"])
    return None


def _failed(both: Pair, stage: str, recorded: str) -> StageResult | None:
    """The result where a side raised: with the reference's failure there is nothing to judge the port by."""
    errors = [side.stages.get(recorded, {}).get("error") for side in (both.reference, both.port)]
    if stage == "forward":
        errors = [e if e is not None and e["section"] in ("", "forward") else None for e in errors]
    if errors[0] is not None:
        note = f"the reference itself raised {errors[0]['message']}"
        return StageResult(stage, "inconclusive", notes=[note], facts={"error": errors[0]})
    error = errors[1]
    if error is None:
        return None
    problem = TensorComparison(error["path"], "", float("inf"), 0.0, f"the port raised {error['message']}")
    return StageResult(stage, "diverged", [problem], facts={"error": error})


def _compare_named(both: Pair, judge: Judge, name: str, prefix: str, **options: Any) -> TensorComparison:
    """One tensor that goes by the same name on both sides (outputs, losses)."""
    port, reference = both.port, both.reference
    full = prefix + name
    tolerance, undecided_to = judge.tolerance(full, [full], judge.typical(prefix))
    if full in port and full in reference and not (port.kept(full) and reference.kept(full)):
        if port.shape(full) != reference.shape(full):
            return compare(name, np.zeros(port.shape(full)), np.zeros(reference.shape(full)), tolerance)
        return compare_sketches(name, port.sketch(full), reference.sketch(full), tolerance)
    return compare(
        name,
        port.get(full) if full in port else None,
        reference.get(full) if full in reference else None,
        tolerance,
        precision=judge.precision,
        undecided_to=undecided_to,
        **options,
    )


def _names(both: Pair, prefix: str) -> list[str]:
    """Names below a prefix on either side, the reference's first."""
    return list(dict.fromkeys([*both.reference.names(prefix), *both.port.names(prefix)]))


def _compare_parameters(
    both: Pair,
    judge: Judge,
    prefix: str,
    *,
    suffix: str = "",
    absent_is_zero: bool = False,
    floors: Mapping[str, float] | None = None,
) -> Iterator[TensorComparison]:
    """Tensors that belong to parameters: gradients, updates, states, buffers.

    ``floors``: by the port's name, the least size that an error is measured against.
    """
    port, reference, links = both.port, both.reference, both.links
    typical = judge.typical(prefix)
    shapes = {
        entry["name"]: tuple(entry["shape"]) for entry in port.data["parameters"] if not entry["same_as"]
    }

    def get(name: str) -> np.ndarray | None:
        full = f"{prefix}{name}{suffix}"
        return reference.get(full) if full in reference and reference.kept(full) else None

    for name, shape in shapes.items():
        full = f"{prefix}{name}{suffix}"
        reference_names = links.reference_names(name)
        if not reference_names:
            continue
        fulls = [f"{prefix}{other}{suffix}" for other in reference_names]
        there = [other in reference for other in fulls]
        shown = ", ".join(reference_names)
        if full not in port and not any(there):
            continue
        tolerance, undecided_to = judge.tolerance(full, fulls, typical)
        options: dict[str, Any] = {
            "precision": judge.precision, "undecided_to": undecided_to, "reference_name": shown
        }  # fmt: skip
        if full not in port or not all(there):
            given = port.get(full) if full in port and port.kept(full) else None
            expected = links.to_port(name, get, shape) if all(there) else None
            only = given if given is not None else expected
            if absent_is_zero and only is not None and not only.any():
                continue
            yield compare(name, given, expected, tolerance, **options)
        elif port.kept(full) and all(reference.kept(other) for other in fulls):
            # A part of a larger tensor is rounded at the larger one's size.
            floor = (
                max(sketches.scale(reference.sketch(other)) for other in fulls)
                if _in_parts(links, name)
                else 0.0
            )
            yield compare(
                name,
                port.get(full),
                links.to_port(name, get, shape),
                tolerance,
                floor=max(floor, (floors or {}).get(name, 0.0)),
                **options,
            )
        elif len(fulls) == 1 and port.tensors[full]["shape"] != [] and not port.kept(full):
            yield _compare_sketched(name, port.sketch(full), reference.sketch(fulls[0]), tolerance, shown,
                                    same_order=_same_order(both, name, port.tensors[full]))  # fmt: skip
        else:
            yield _compare_joined(
                name, port.sketch(full), [reference.sketch(f) for f in fulls], tolerance, shown
            )


def _in_parts(links: Links, name: str) -> bool:
    return any(reference.parts > 1 for port, reference in links.pairs if port.tensor == name)


def _same_order(both: Pair, name: str, entry: dict[str, Any]) -> bool:
    places = [(p, r) for p, r in both.links.pairs if p.tensor == name]
    turned = bool(entry.get("turned"))
    return all(p.parts == r.parts == 1 and (p.layout != r.layout) == turned for p, r in places)


def _compare_sketched(
    name: str, one: np.ndarray, two: np.ndarray, tolerance: float, reference_name: str, *, same_order: bool
) -> TensorComparison:
    """By sketches; where the elements are in another order, by what does not change with the order."""
    if same_order:
        return compare_sketches(name, one, two, tolerance, reference_name=reference_name)
    return _compare_joined(name, one, [two], tolerance, reference_name)


def _compare_joined(
    name: str, one: np.ndarray, parts: list[np.ndarray], tolerance: float, reference_name: str
) -> TensorComparison:
    count = sum(part[sketches.COUNT] for part in parts)
    if count != one[sketches.COUNT] or not np.isfinite(one).all():
        return TensorComparison(name, reference_name, float("inf"), tolerance, "NaN or another size", True)
    norm = float(np.sqrt(sum(part[sketches.L2] ** 2 for part in parts)))
    total = float(sum(part[sketches.ABSOLUTE] for part in parts))
    signed = float(sum(part[sketches.SUM] for part in parts))
    if norm == 0:
        error = 0.0 if one[sketches.L2] == 0 else float("inf")
    else:
        error = max(abs(one[sketches.L2] - norm) / norm, abs(one[sketches.SUM] - signed) / total)
    return TensorComparison(name, reference_name, error, tolerance, sketched=True, scale=norm)


# --- the stages ----------------------------------------------------------------------------------------------------


def configuration(both: Pair) -> StageResult:
    """Part settings, flags, and the inventory of parameters and buffers."""
    port, reference, links = both.port.data, both.reference.data, both.links
    tensors = []

    def differ(name: str, problem: str, reference_name: str = "") -> None:
        tensors.append(TensorComparison(name, reference_name, float("inf"), 0.0, problem))

    shapes = [{p["name"]: tuple(p["shape"]) for p in side["parameters"]} for side in (port, reference)]
    unused = _unused_statistics(both.port) | _made_unasked(both.port) | _index_tables(both.port)
    resized = [name for name in links.reference_left if name in links.port_left]
    for name in resized:
        differ(name, f"shape {shapes[0][name]} instead of {shapes[1][name]}", name)
    for name in links.reference_left:
        if name not in resized:
            differ(name, "in the reference, and not in the port", name)
    for name in links.port_left:
        if name not in resized and name not in unused:
            differ(name, "in the port, and not in the reference")
    for setting, value in reference["settings"].items():
        if port["settings"].get(setting) != value:
            differ(setting, f"{port['settings'].get(setting)} instead of {value}", setting)
    for part in sorted(set(port["parts"]) ^ set(reference["parts"])):
        if part not in ("train_data", "eval_data"):
            differ(part, f"only the {'port' if part in port['parts'] else 'reference'} has this part", part)
    theirs = {entry["name"]: entry for entry in reference["parameters"]}
    compared = 0
    for entry in port["parameters"]:
        for name in links.reference_names(entry["name"]):
            compared += 1
            both_trained = entry["kind"] == theirs[name]["kind"] == "parameter"
            if both_trained and entry["trainable"] != theirs[name]["trainable"]:
                word = "is trained" if entry["trainable"] else "is not trained"
                differ(entry["name"], f"{word}, unlike in the reference", name)
    for name, problem, reference_name in _tied(both):
        differ(name, problem, reference_name)
    tensors += [tensor for tensor in _initial_buffers(both) if not tensor.agrees]
    notes = [f"{compared} parameters and buffers matched", *links.problems]
    notes += _environment_notes(both)
    facts = {"unmatched": _unmatched(both, unused), "idle": _idle(both)}
    return StageResult(
        "configuration", "diverged" if tensors else "aligned", tensors, notes=notes, facts=facts
    )


def _unmatched(both: Pair, unused: set[str]) -> list[tuple[str, str]]:
    """Parameters and buffers without a counterpart, as (side, name), in the order in which the sides use them."""
    found: list[tuple[float, str, str]] = []
    for side, recording, names in (
        ("port", both.port, [n for n in both.links.port_left if n not in unused]),
        ("reference", both.reference, both.links.reference_left),
    ):
        calls = recording.data.get("trace", {}).get("eval", {}).get("calls", ())
        order: dict[str, int] = {}
        for number, call in enumerate(calls):
            for name in call["inputs"]:
                order.setdefault(name, number)
        last = max(len(calls), 1)
        found += [(order.get(f"parameters.{name}", last) / last, side, name) for name in names]
    return [(side, name) for _, side, name in sorted(found, key=lambda entry: entry[0])]


def _unused_statistics(port: Recording) -> set[str]:
    """Running statistics of Paddle's norms that are told to use the batch's alone: nothing reads them."""
    unused = [m["path"] for m in port.data["modules"] if m["settings"].get("_use_global_stats") is False]
    return {f"{path}.{leaf}" if path else leaf for path in unused for leaf in ("_mean", "_variance")}


def _made_unasked(port: Recording) -> set[str]:
    """Scales and shifts that a layer of Paddle's makes by itself where it is told to have none."""
    settings = {m["path"]: m["settings"] for m in port.data["modules"]}
    found = set()
    for entry in port.data["parameters"]:
        path, _, leaf = entry["name"].rpartition(".")
        if not entry["trainable"] and settings.get(path, {}).get(f"_{leaf}_attr") is False:
            found.add(entry["name"])
    return found


def _index_tables(port: Recording) -> set[str]:
    """Buffers of integers: the other side may make its table where it needs it; another one shows in the outputs."""
    return {
        entry["name"]
        for entry in port.data["parameters"]
        if entry["kind"] == "buffer"
        and (full := f"initial_buffers/{entry['name']}") in port
        and port.dtype(full).startswith(("int", "uint"))
    }


def _idle(both: Pair) -> set[str]:
    """The port's own scales of ones and shifts of zeros that nothing trains: they explain no other divergence."""
    norms = {m["path"] for m in both.port.data["modules"] if "norm" in m["class"].lower()}
    left = set(both.links.port_left)
    found = set()
    for entry in both.port.data["parameters"]:
        path, _, leaf = entry["name"].rpartition(".")
        full = f"weights/{entry['name']}"
        if entry["name"] not in left or entry["trainable"] or path not in norms or not both.port.kept(full):
            continue
        if leaf in ("weight", "scale", "bias") and np.all(
            both.port.get(full) == (0.0 if leaf == "bias" else 1.0)
        ):
            found.add(entry["name"])
    return found


def _initial_buffers(both: Pair) -> Iterator[TensorComparison]:
    """Buffers as each side makes them: constants such as anchors and position tables."""
    random = [set(side.data.get("random_buffers", ())) for side in (both.port, both.reference)]
    for name in both.port.names("initial_buffers/"):
        full = f"initial_buffers/{name}"
        names = both.links.reference_names(name)
        theirs = [f"weights/{other}" for other in names]
        if name in random[0] or random[1] & set(names):
            continue
        if not theirs or not all(n in both.reference for n in theirs) or both.port.shape(full) == ():
            continue
        shown = ", ".join(both.links.reference_names(name))
        if both.port.kept(full) and all(both.reference.kept(n) for n in theirs):
            reference = both.links.to_port(
                name, lambda n: both.reference.get(f"weights/{n}"), both.port.shape(full)
            )
            one = both.port.get(full)
            if one.size:
                yield compare(
                    name, one, reference, CONSTANT_TOLERANCE, precision="float32", reference_name=shown
                )
        elif len(theirs) == 1:
            sketched = both.port.sketch(full), both.reference.sketch(theirs[0])
            yield compare_sketches(name, *sketched, CONSTANT_TOLERANCE, reference_name=shown)


def _tied(both: Pair) -> Iterator[tuple[str, str, str]]:
    """Weights that only one side ties."""
    links = both.links

    def owners(recording: Recording) -> dict[str, str]:
        return {entry["name"]: entry["same_as"] or entry["name"] for entry in recording.data["parameters"]}

    ours, theirs = owners(both.port), owners(both.reference)
    for entry in both.reference.data["parameters"]:
        if entry["same_as"]:
            one, two = links.port_names(entry["name"]), links.port_names(entry["same_as"])
            if one and two and {ours[n] for n in one} != {ours[n] for n in two}:
                yield one[0], f"separate from {two[0]}, which the reference ties to it", entry["name"]
    for entry in both.port.data["parameters"]:
        if entry["same_as"]:
            first, second = links.reference_names(entry["name"]), links.reference_names(entry["same_as"])
            if first and second and {theirs[n] for n in first} != {theirs[n] for n in second}:
                yield (
                    entry["name"],
                    f"tied to {entry['same_as']}, which the reference keeps separate",
                    first[0],
                )


def _environment_notes(both: Pair) -> list[str]:
    port, reference = both.port.data["environment"], both.reference.data["environment"]
    notes = []
    for name in sorted(set(port) & set(reference)):
        if port[name] != reference[name] and name not in ("default_dtype",):
            notes.append(
                f"environment: {name} is {port[name]} for the port, {reference[name]} for the reference"
            )
    return notes


def initialisation(both: Pair) -> StageResult:
    """Each parameter's own initial values, distribution by distribution. Where no recipe trains they are not judged."""
    failed = _failed(both, "initialisation", "initialisation")
    if failed:
        return failed
    tensors = []
    for entry in both.port.data["parameters"]:
        name = entry["name"]
        theirs = [f"initial/{other}" for other in both.links.reference_names(name)]
        if f"initial/{name}" not in both.port or not theirs or any(n not in both.reference for n in theirs):
            continue
        if not (both.port.kept(f"initial/{name}") and all(both.reference.kept(n) for n in theirs)):
            continue
        one = both.port.get(f"initial/{name}")
        two = np.concatenate([both.reference.get(n) for n in theirs])
        shown = ", ".join(both.links.reference_names(name))
        tensors.append(_compare_distributions(name, one, two, shown))
    differing = [tensor.name for tensor in tensors if tensor.differs]
    if differing and not any(both.both("optimizer")):
        others = f" and {len(differing) - 1} more start" if len(differing) > 1 else " starts"
        note = (
            "neither recipe has an optimizer, so nothing is trained from them:"
            f" {differing[0]}{others} from other values"
        )
        return StageResult("initialisation", "not given", notes=[note])
    return _verdict("initialisation", tensors)


def _compare_distributions(name: str, one: np.ndarray, two: np.ndarray, shown: str) -> TensorComparison:
    """Two samples: constants by value, others by Kolmogorov and Smirnov's test; the error is its statistic."""
    if not one.size or not two.size:
        return TensorComparison(name, shown, float("inf"), 0.0, "no elements: nothing was compared", True)
    if np.ptp(one) == 0 or np.ptp(two) == 0:
        if np.ptp(one) != np.ptp(two):
            return TensorComparison(name, shown, 1.0, 0.0, "constant on one side only")
        return compare(name, one[:1], two[:1], 1e-6, reference_name=shown, floor=1e-30)
    statistic = stats.ks_2samp(one, two, method="asymp")
    effective = one.size * two.size / (one.size + two.size)
    tolerance = float(np.sqrt(-np.log(SIGNIFICANCE / 2) / (2 * effective)))
    if statistic.statistic <= tolerance or statistic.pvalue > SIGNIFICANCE:
        return TensorComparison(
            name, shown, float(statistic.statistic), max(tolerance, float(statistic.statistic))
        )
    return TensorComparison(name, shown, float(statistic.statistic), tolerance)


def _data(stage: str, part: str) -> Callable[[Pair], StageResult]:
    kind = stage.split("_", maxsplit=1)[0]

    def judge(both: Pair) -> StageResult:
        absent = _missing(both, stage, part) or _failed(both, stage, "data")
        if absent:
            return absent
        port, reference = both.port.stages[stage], both.reference.stages[stage]
        tensors = []
        for field_name in ("batches", "length"):
            if port[field_name] is not None and reference[field_name] is not None:
                tensors.append(
                    compare(field_name, np.array(port[field_name]), np.array(reference[field_name]), 0.0)
                )
        prefix = f"data/{kind}/"
        random = port.get("framework_random") or reference.get("framework_random")
        exact = [_compare_leaf(both, prefix, name) for name in _names(both, prefix)]
        for one, two in zip(port["leaves"], reference["leaves"], strict=False):
            if one != two:
                tensors.append(
                    TensorComparison(one[1], two[1], float("inf"), 0.0, f"{one[2]} instead of {two[2]}")
                )
        if random and kind == "train" and any(tensor.differs for tensor in exact):
            tensors += _compare_pooled(both, prefix)
            return _verdict(
                stage, tensors, notes=["drawn by the framework's generator: compared as distributions"]
            )
        return _verdict(stage, tensors + exact)

    return judge


def _compare_leaf(both: Pair, prefix: str, name: str) -> TensorComparison:
    full = prefix + name
    if (
        full in both.port
        and full in both.reference
        and not (both.port.kept(full) and both.reference.kept(full))
    ):
        return compare_sketches(name, both.port.sketch(full), both.reference.sketch(full), DATA_TOLERANCE)
    found = compare(
        name,
        both.port.get(full) if full in both.port else None,
        both.reference.get(full) if full in both.reference else None,
        DATA_TOLERANCE,
        precision="float32",
    )
    if found.undecided and 0 in found.shape:
        # A picture without boxes is the same on both sides: their shapes are.
        return replace(found, error=0.0, problem="", undecided=False)
    return found


def _compare_pooled(both: Pair, prefix: str) -> Iterator[TensorComparison]:
    """Leaves pooled over batches, as distributions; channels of pictures apart."""
    for leaf in dict.fromkeys(name.split("/", 1)[1] for name in _names(both, prefix)):
        pooled = []
        for side in (both.port, both.reference):
            names = [f"{prefix}{n}" for n in side.names(prefix) if n.split("/", 1)[1] == leaf]
            pooled.append([side.get(n) for n in names if side.kept(n)])
        if not pooled[0] or not pooled[1]:
            yield TensorComparison(
                leaf, leaf, float("inf"), 0.0, "on one side only, or only as a sketch", True
            )
            continue
        shapes = [{array.shape[1:] for array in arrays} for arrays in pooled]
        if len(shapes[0]) == 1 and shapes[0] != shapes[1]:
            yield TensorComparison(leaf, leaf, float("inf"), 0.0, f"shape {shapes[0]} instead of {shapes[1]}")
            continue
        channels = pooled[0][0].shape[1] if pooled[0][0].ndim == 4 else 1
        for channel in range(min(channels, 4)):
            one, two = (
                np.concatenate([(a[:, channel] if channels > 1 else a).reshape(-1) for a in arrays]).astype(
                    float
                )
                for arrays in pooled
            )
            # Elements of one picture hang together: the test counts examples, not elements.
            share = max(1, one.size // max(1, sum(len(a) for a in pooled[0] if a.ndim)))
            name = f"{leaf}[channel {channel}]" if channels > 1 else leaf
            yield _compare_distributions(name, np.sort(one)[::share], np.sort(two)[::share], leaf)


def forward(both: Pair) -> StageResult:
    """Outputs in evaluation mode."""
    failed = _failed(both, "forward", "eval")
    if failed:
        return failed
    names = _names(both, "eval/outputs")
    if not names:
        return StageResult(
            "forward", "not given", notes=["there are no batches: neither eval_data nor train_data"]
        )
    known = in_calls(both.port, both.reference, "eval", backward=False)
    judge = both.judge(known)
    return _verdict("forward", [_compare_named(both, judge, n, "eval/outputs") for n in names], known=known)


def metric(both: Pair) -> StageResult:
    """The figures of the reference's outputs."""
    absent = _missing(both, "metric", "metric") or _failed(both, "metric", "metric")
    if absent:
        return absent
    if "figures" not in both.reference.stages.get("metric", {}):
        return StageResult("metric", "not given", notes=["there are no batches"])
    ours, theirs = both.port.stages["metric"]["figures"], both.reference.stages["metric"]["figures"]
    tolerance = EXACT if both.judge().precision == "float64" else 1e-6
    tensors = [
        compare(
            name,
            np.array(float(ours[name])) if name in ours else None,
            np.array(float(theirs[name])) if name in theirs else None,
            tolerance,
            reference_name=name,
        )
        for name in dict.fromkeys([*theirs, *ours])
        if not (_undefined(ours.get(name)) and _undefined(theirs.get(name)))
    ]
    return _verdict("metric", tensors)


def _undefined(figure: Any) -> bool:
    """Whether a figure is NaN: AP over objects of a size that no picture has, for one."""
    return figure is not None and math.isnan(float(figure))


def loss(both: Pair) -> StageResult:
    """The loss of the reference's outputs."""
    absent = _missing(both, "loss", "loss") or _failed(both, "loss", "loss")
    if absent:
        return absent
    names = _names(both, "loss/losses/")
    if not names:
        return StageResult("loss", "not given", notes=["there are no batches"])
    known = in_calls(both.port, both.reference, "loss", backward=False)
    judge = both.judge(known)
    return _verdict(
        "loss", [_compare_scalars(both, judge, name, "loss/losses/") for name in names], known=known
    )


def _compare_scalars(both: Pair, judge: Judge, name: str, prefix: str) -> TensorComparison:
    """A loss: one element, whether the framework calls it a scalar or a vector of one."""

    def value(side: Recording) -> np.ndarray | None:
        array = side.get(prefix + name) if prefix + name in side else None
        return array.reshape(()) if array is not None and array.size == 1 else array

    low, high = judge.tolerance(prefix + name, [prefix + name], judge.typical(prefix))
    return compare(
        name,
        value(both.port),
        value(both.reference),
        low,
        precision=judge.precision,
        undecided_to=high,
        reference_name=name,
    )


def backward(both: Pair) -> StageResult:
    """Every parameter's gradient, in evaluation mode."""
    absent = _missing(both, "backward", "loss") or _failed(both, "backward", "eval")
    if absent:
        return absent
    return _gradients(both, "backward", "eval")


SMALL_GRADIENT = 1e-3
"""A gradient smaller than this share of the largest one is measured against that share: a sum of large terms that
cancel is no more exact than the terms."""


def _compare_gradients(both: Pair, judge: Judge, prefix: str) -> Iterator[TensorComparison]:
    """Every parameter's gradient. One that is exactly zero in the reference is measured against the largest of all."""
    full = f"{prefix}/gradients/"
    sizes = {n: sketches.scale(both.reference.sketch(full + n)) for n in both.reference.names(full)}
    largest = max((size for size in sizes.values() if np.isfinite(size)), default=0.0)
    floors = {
        entry["name"]: largest
        * (SMALL_GRADIENT if any(sizes.get(n) for n in both.links.reference_names(entry["name"])) else 1.0)
        for entry in both.port.data["parameters"]
    }
    yield from _compare_parameters(both, judge, full, absent_is_zero=True, floors=floors)


def _gradients(both: Pair, stage: str, prefix: str) -> StageResult:
    known = in_calls(both.port, both.reference, prefix, backward=True)
    tensors = list(_compare_gradients(both, both.judge(known), prefix))
    if not tensors:
        return StageResult(stage, "not given", notes=["no gradients were recorded"])
    return _verdict(stage, tensors, known=known)


def optimizer(both: Pair) -> StageResult:
    """Updates and states of the optimizer alone."""
    absent = _missing(both, "optimizer", "optimizer") or _failed(both, "optimizer", "optimizer")
    if absent:
        return absent
    judge = both.judge([OPTIMIZER], amplified=False)
    tensors, first = [], None
    steps = sorted({name.split("/")[0] for name in both.reference.names("optimizer/")})
    for step in steps:
        found = [
            *_compare_parameters(both, judge, f"optimizer/{step}/updates/", absent_is_zero=True),
        ]
        for state in _states(both, step):
            found += [
                replace(tensor, name=f"{tensor.name}/{state}")
                for tensor in _compare_parameters(
                    both, judge, f"optimizer/{step}/states/", suffix=f"/{state}"
                )
                if not tensor.problem.startswith(("missing", "extra"))
            ]
        if first is None and any(tensor.differs for tensor in found):
            first = step
            tensors = found
        elif first is None:
            tensors += found
    facts = {"step": first} if first is not None else {}
    facts |= {"port_settings": both.port.stages["optimizer"].get("settings", {}),
              "reference_settings": both.reference.stages["optimizer"].get("settings", {})}  # fmt: skip
    return _verdict("optimizer", tensors, known=[OPTIMIZER], facts=facts)


def _states(both: Pair, step: str) -> list[str]:
    prefix = f"optimizer/{step}/states/"
    kinds = [{name.rsplit("/", 1)[1] for name in side.names(prefix)} for side in (both.port, both.reference)]
    return sorted(kinds[0] & kinds[1])


def learning_rate(both: Pair) -> StageResult:
    """The whole schedule of every parameter's group, relative to each rate."""
    absent = _missing(both, "learning_rate", "optimizer") or _failed(both, "learning_rate", "learning_rate")
    if absent:
        return absent
    ours = {n: g for g in both.port.stages["learning_rate"]["groups"] for n in g["params"]}
    theirs = {n: g for g in both.reference.stages["learning_rate"]["groups"] for n in g["params"]}
    pairs: dict[tuple[str, str], str] = {}
    for name, group in ours.items():
        for other in both.links.reference_names(name):
            if other in theirs:
                pairs.setdefault((group["name"], theirs[other]["name"]), name)
    tensors = []
    facts: dict[str, Any] = {}
    for (mine, other), example in pairs.items():
        one, two = both.port.get(f"schedule/{mine}"), both.reference.get(f"schedule/{other}")
        if one.size == 1 or two.size == 1:
            one, two = np.broadcast_arrays(one, two)
        peak = max(float(np.abs(two).max()), float(np.abs(one).max()), 1e-300)
        length = min(one.size, two.size)
        if length == one.size < two.size and both.port.stages["learning_rate"].get("ended"):
            problem = f"raised after {length - 1} steps: {both.port.stages['learning_rate']['ended']}"
            tensors.append(TensorComparison(f"group {mine}", f"group {other}", float("inf"), 0.0, problem))
        error = np.abs(one[:length] - two[:length]) / np.maximum(
            np.maximum(np.abs(one[:length]), np.abs(two[:length])), RATE_FLOOR * peak
        )
        error = np.where(np.isfinite(error), error, np.inf)
        worst = int(error.argmax())
        tensor = TensorComparison(
            f"group {mine}", f"group {other}", float(error[worst]), RATE_TOLERANCE, shape=(length,), scale=peak,
            worst=[([worst], float(one[worst]), float(two[worst]))],
        )  # fmt: skip
        tensors.append(tensor)
        if tensor.differs and not facts:
            facts = {
                "step": int(np.flatnonzero(error > RATE_TOLERANCE)[0]),
                "group": mine,
                "parameter": example,
                "port_series": one[:length],
                "reference_series": two[:length],
                "schedule_every": (
                    both.port.data["settings"]["schedule_every"], both.reference.data["settings"]["schedule_every"]
                ),
            }  # fmt: skip
    every = [side.data["settings"]["schedule_every"] for side in (both.port, both.reference)]
    scheduled = any(group["scheduled"] for group in (*ours.values(), *theirs.values()))
    if every[0] != every[1] and scheduled:
        problem = f"stepped every {every[0]} instead of every {every[1]}"
        tensors.insert(0, TensorComparison("schedule_every", "schedule_every", float("inf"), 0.0, problem))
        facts.setdefault("schedule_every", tuple(every))
    return _verdict("learning_rate", tensors, facts=facts)


def regularisation(both: Pair) -> StageResult:
    """What one step with zero gradients does: which parameters decay, how much, and how."""
    absent = _missing(both, "regularisation", "optimizer") or _failed(
        both, "regularisation", "regularisation"
    )
    if absent:
        return absent
    tensors = list(
        _compare_parameters(both, both.judge([OPTIMIZER], amplified=False), "decay/", absent_is_zero=True)
    )
    if not tensors:
        return StageResult("regularisation", "aligned", notes=["no parameter decays on either side"])
    settings = both.port.stages.get("optimizer", {}), both.reference.stages.get("optimizer", {})
    facts = {
        "port_settings": settings[0].get("settings", {}),
        "reference_settings": settings[1].get("settings", {}),
    }
    return _verdict("regularisation", tensors, known=[OPTIMIZER], facts=facts)


def training_mode(both: Pair) -> StageResult:
    """Outputs, losses, gradients and buffers of one pass in training mode, with the same random draws."""
    failed = _failed(both, "training_mode", "train")
    if failed:
        return failed
    names = _names(both, "train/outputs")
    if not names:
        return StageResult("training_mode", "not given", notes=["there are no batches"])
    known = in_calls(both.port, both.reference, "train", backward=True)
    judge = both.judge(known)
    tensors = [
        replace(tensor, name=f"outputs{'.' if tensor.name else ''}{tensor.name.lstrip('.')}")
        for tensor in (_compare_named(both, judge, name, "train/outputs") for name in names)
    ]
    tensors += [
        replace(_compare_scalars(both, judge, name, "train/losses/"), name=f"losses/{name}")
        for name in _names(both, "train/losses/")
    ]
    buffers = variances.of_pass(both)
    momentum = momentum_in_float32(both.port)
    tensors += [
        replace(tensor, name=f"buffers/{tensor.name}")
        for tensor in _compare_parameters(buffers, both.judge([*known, momentum]), "train/buffers/")
    ]
    tensors += [
        replace(tensor, name=f"gradients/{tensor.name}")
        for tensor in _compare_gradients(both, judge, "train")
    ]
    if any(tensor.name.startswith("buffers/") for tensor in tensors):
        known = [*known, momentum, RUNNING_VARIANCE]
    return _verdict("training_mode", tensors, known=known)


def training_steps(both: Pair) -> StageResult:
    """Losses, parameters and buffers step by step."""
    absent = _missing(both, "training_steps", "optimizer") or _failed(
        both, "training_steps", "training_steps"
    )
    if absent:
        return absent
    number = both.reference.stages.get("training_steps", {}).get("steps")
    if not number:
        return StageResult("training_steps", "not given", notes=["there are no batches, or there is no loss"])
    passes = in_calls(both.port, both.reference, "train", backward=True)
    known = [*passes, OPTIMIZER]
    # A step's update is a small difference of large weights: its own float32 error says nothing of how much a
    # perturbation grows, that of the gradients does.
    of_steps = replace(
        both.judge(known, amplified=False, growth=both.judge().typical("train/gradients/")),
        trained=max(sum(k.bound for k in passes), FLOAT32) if passes else 0.0,
    )
    tensors, first, noise, notes = [], None, _of_noise(both), []
    for step in range(number):
        prefix = f"steps/{step}/"
        judge = replace(of_steps, steps=step + 1)
        lost = _lost(both, judge, prefix) if judge.trained else 0.0
        if step and lost > LOST:
            notes.append(
                f"step {step + 1} and those after it were not compared: there the reference in float32 is {lost:.0%} "
                "off its own float64 run, and the frameworks differ by about what float32 does"
            )
            break
        found = [
            replace(_compare_scalars(both, judge, name, f"{prefix}losses/"), name=f"losses/{name}")
            for name in _names(both, f"{prefix}losses/")
        ]
        moved = list(_compare_parameters(both, judge, f"{prefix}parameters/"))
        drift = max((t.error * t.scale for t in moved if t.name in noise and not t.problem), default=0.0)
        buffers = _compare_parameters(variances.of_step(both, step), judge, f"{prefix}buffers/")
        averages = _compare_parameters(variances.of_average(both, step), judge, f"{prefix}evaluated/")
        held = [*moved, *buffers, *(replace(t, name=f"evaluated/{t.name}") for t in averages)]
        found += [
            t for t in held if t.name.removeprefix("evaluated/") not in noise and not _drifted(t, drift)
        ]
        if any(tensor.differs for tensor in found):
            first, tensors = step, found
            break
        tensors += found
    facts = {"step": first} if first is not None else {}
    return _verdict("training_steps", tensors, known=known, notes=notes, facts=facts)


LOST = 0.25
"""Where training in float32 is off by more than this share of what it moved, a perturbation of float32's size has grown
to all there is."""


def _lost(both: Pair, judge: Judge, prefix: str) -> float:
    """How far the reference's weights after a step are off in float32, of half of them."""
    moved = [f"{prefix}parameters/{name}" for name in both.reference.names(f"{prefix}parameters/")]
    return float(np.median([judge.lost(name) for name in moved])) if moved else 0.0


def _drifted(tensor: TensorComparison, drift: float) -> bool:
    """Whether a running mean differs by no more than what parameters without a true gradient, such as the bias before
    the norm, have moved apart."""
    mean = tensor.name.rpartition(".")[2] in ("_mean", "running_mean")
    return mean and not tensor.problem and tensor.error * tensor.scale <= 4.0 * drift


def _of_noise(both: Pair) -> set[str]:
    """The port's parameters without a true gradient: it is rounding noise, or exactly zero and may be noise later.

    So is that of a bias before batch normalisation and that of attention's keys. An optimizer such as Adam makes whole
    steps of it, which agree in nothing.
    """

    def size(side: Recording, name: str) -> float:
        full = f"train/gradients/{name}"
        there = full in side and side.kept(full)
        return float(np.abs(side.get(full)).max(initial=0.0)) if there else np.inf

    sizes = [size(both.reference, e["name"]) for e in both.reference.data["parameters"] if not e["same_as"]]
    unit = FLOAT64 if both.judge().precision == "float64" else FLOAT32
    noise = max((s for s in sizes if np.isfinite(s)), default=0.0) * float(np.sqrt(unit))
    found = set()
    for entry in both.port.data["parameters"]:
        name = entry["name"]
        others = both.links.reference_names(name)
        theirs = max((size(both.reference, other) for other in others), default=np.inf)
        if np.isfinite(theirs) and _in_parts(both.links, name):
            part = both.links.to_port(
                name, lambda n: both.reference.get(f"train/gradients/{n}"), tuple(entry["shape"])
            )
            theirs = theirs if part is None else float(np.abs(part).max(initial=0.0))
        ours = size(both.port, name)
        if ours <= noise and theirs <= noise:
            found.add(name)
    return found


def higher_order(both: Pair) -> StageResult:
    """Gradients of a recipe whose forward differentiates."""
    if not both.reference.data["higher_order"]:
        return StageResult("higher_order", "not given", notes=["the reference's recipe does not ask for it"])
    absent = _missing(both, "higher_order", "loss") or _failed(both, "higher_order", "train")
    if absent:
        return absent
    result = _gradients(both, "higher_order", "train")
    slopes = [side.stages.get("train", {}).get("slope") for side in (both.port, both.reference)]
    result.facts["slopes"] = slopes
    return result


JUDGES: dict[str, Callable[[Pair], StageResult]] = {
    "configuration": configuration,
    "initialisation": initialisation,
    "eval_data": _data("eval_data", "eval_data"),
    "train_data": _data("train_data", "train_data"),
    "forward": forward,
    "metric": metric,
    "loss": loss,
    "backward": backward,
    "optimizer": optimizer,
    "learning_rate": learning_rate,
    "regularisation": regularisation,
    "training_mode": training_mode,
    "training_steps": training_steps,
    "higher_order": higher_order,
}
