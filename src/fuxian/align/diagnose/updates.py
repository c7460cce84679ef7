"""Why two optimizers differ: the port's rule is run in numpy with one setting changed, on the recorded gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from fuxian.align import defects
from fuxian.align.compare import FLOAT32, FLOAT64
from fuxian.align.diagnose import averages, gradients
from fuxian.align.diagnose.optimizers import KINDS, Rule, rules, updates
from fuxian.align.diagnose.tried import Hypothesis, best, number
from fuxian.align.divergence import Diagnosis, Divergence
from fuxian.align.draws import SEED
from fuxian.align.mapping import Links, links_from_json
from fuxian.align.record import GRADIENT_FACTORS
from fuxian.align.recording import Recording

CAUSE_OF = {
    "rate": "learning_rate", "momentum": "beta", "dampening": "beta", "nesterov": "nesterov", "beta1": "beta",
    "beta2": "beta", "epsilon": "optimizer_epsilon", "decay": "weight_decay", "decay_kind": "weight_decay_kind",
    "epsilon_place": "optimizer_epsilon", "amsgrad": "optimizer_kind",
    "initial": "optimizer_state", "smoothing": "beta", "centred": "optimizer_kind", "kind": "optimizer_kind",
    "momentum_decay": "beta", "rate_decay": "learning_rate", "fall": "learning_rate", "rise": "learning_rate",
    "least": "learning_rate", "most": "learning_rate",
}  # fmt: skip
WORDS = {"rate": "learning rate", "decay": "weight decay", "initial": "initial accumulator", "kind": "rule",
         "decay_kind": "kind of weight decay",
         "epsilon_place": "epsilon", "smoothing": "smoothing constant", "centred": "centring",
         "momentum_decay": "momentum decay", "rate_decay": "decay of the learning rate",
         "fall": "eta of a turned gradient", "rise": "eta of a steady gradient", "least": "smallest step",
         "most": "largest step"}  # fmt: skip
PLACES = ("inside the root", "outside the root", "beside the gradient", "beside the norm")
SOME = 12
"""Parameters on which a rule is tried."""


@dataclass
class Optimised:
    """Both sides' optimizers on the parameters that both have, all in the reference's names and layout."""

    port: Recording
    reference: Recording
    links: Links
    ours: dict[str, Rule]
    theirs: dict[str, Rule]
    missing: list[str]

    @property
    def unit(self) -> float:
        """The rounding of a weight that a step is added to."""
        return FLOAT64 if self.reference.data["dtype"] == "float64" else FLOAT32

    def weight(self, name: str) -> np.ndarray | None:
        full = f"weights/{name}"
        return self.reference.get(full) if full in self.reference and self.reference.kept(full) else None

    def wanted(self, name: str, trial: int) -> list[np.ndarray] | None:
        """The reference's updates, step by step."""
        names = [f"optimizer/{trial}.{step}/updates/{name}" for step in range(len(GRADIENT_FACTORS[trial]))]
        if not all(full in self.reference and self.reference.kept(full) for full in names):
            return None
        return [self.reference.get(full).astype(np.float64) for full in names]


def diagnose(divergence: Divergence) -> Diagnosis | None:
    """The cause of other updates, states or decays."""
    if divergence.recordings is None:
        return None
    frozen = gradients.frozen(divergence)
    if frozen is not None:
        return frozen
    both = optimised(divergence)
    if divergence.stage == "regularisation":
        return _decay(both) or _settings(both)
    if both.missing:
        shown = ", ".join(both.missing[:3])
        return Diagnosis(
            "parameter_group", f"the port gives {shown} to no optimizer, the reference does", proven=True
        )
    ruled = best(_rule_hypotheses(both))
    decayed = _decay(both)
    kind = ruled is not None and ruled.cause == "optimizer_kind"
    if kind or (ruled is not None and ruled.cost == 1 and not ruled.cause.startswith("weight_decay")):
        decayed = None  # Another rule also decays in another way.
    if ruled is None:
        other = _other_kind(both)
        if other is not None:
            return other
    if decayed is not None:
        return decayed
    if ruled is not None and ("inside the root" in ruled.change or "beside the" in ruled.change):
        return ruled.diagnosis(f"{defects.OPTIMIZERS['optimizer_epsilon']}: ")
    if ruled is not None:
        return ruled.diagnosis()
    return _clipping(both) or _state(divergence, both) or _settings(both)


def _other_kind(both: Optimised) -> Diagnosis | None:
    """Two optimizers by their names, where numpy knows no rule for one of them: it may decay in its own way too."""
    for name, theirs in both.theirs.items():
        ours = both.ours.get(name)
        if ours is not None and ours.kind != theirs.kind and {ours.kind, theirs.kind} <= set(KINDS.values()):
            evidence = f"the port's rule is {ours.kind}, the reference's {theirs.kind}"
            return Diagnosis("optimizer_kind", evidence)
    return None


def optimised(divergence: Divergence) -> Optimised:
    """Both sides' optimizers as recorded."""
    assert divergence.recordings is not None  # noqa: S101
    port, reference = divergence.recordings
    links = links_from_json(port.data["links"])
    settings = [side.stages.get("optimizer", {}).get("settings", {}) for side in (port, reference)]
    ours = {other: rule for name, rule in rules(settings[0]).items() for other in links.reference_names(name)}
    theirs = rules(settings[1])
    trained = {
        e["name"] for e in reference.data["parameters"] if e["kind"] == "parameter" and not e["same_as"]
    }
    missing = [n for n in theirs if n not in ours and n in trained and links.port_names(n)]
    return Optimised(port, reference, links, ours, theirs, missing)


def _gradients(shape: tuple[int, ...], name: str, trial: int) -> list[np.ndarray]:
    seeded = np.random.Generator(np.random.PCG64([SEED, *name.encode()]))
    gradient = seeded.standard_normal(shape) * 0.1
    return [gradient * factor for factor in GRADIENT_FACTORS[trial]]


def _scales(both: Optimised, rule: str, bound: float, group: list[str]) -> Callable[[str, list], list] | None:
    """A function that clips a parameter's gradients as ``rule`` says."""
    if rule == "value":
        return lambda name, gradients: [np.clip(g, -bound, bound) for g in gradients]
    if rule == "each":
        return lambda name, gradients: [g * min(1.0, bound / float(np.linalg.norm(g))) for g in gradients]
    shapes = {e["name"]: tuple(e["shape"]) for e in both.reference.data["parameters"]}
    squares = np.zeros(len(GRADIENT_FACTORS[0]))
    for name in group:
        squares += [float((g**2).sum()) for g in _gradients(shapes[name], name, 0)]
    norms = np.sqrt(squares)
    factors = np.minimum(1.0, bound / np.maximum(norms, 1e-300))
    if rule == "norm":
        return lambda name, gradients: [g * f for g, f in zip(gradients, factors, strict=True)]
    return None


# --- settings, tried by running the rule ------------------------------------------------------------------------------


def _rule_hypotheses(both: Optimised) -> Iterator[Hypothesis]:
    """The port's rule with one setting as in the reference, then with two; free grids where no setting differs."""
    names = [
        n
        for n in both.theirs
        if n in both.ours and both.weight(n) is not None and both.wanted(n, 0) is not None
    ]
    names = sorted(names, key=lambda n: -both.weight(n).ndim)[:SOME]  # type: ignore[union-attr]
    if not names:
        return
    clip = _fitted_clip(both)
    ours, theirs = ({n: r[n] for n in names} for r in (both.ours, both.theirs))
    as_theirs = _misfit(both, theirs, clip)
    before = _misfit(both, ours, clip)
    differing = [
        f.name
        for f in fields(Rule)
        if any(getattr(ours[n], f.name) != getattr(theirs[n], f.name) for n in names)
    ]
    differing = [f for f in differing if not _idle(f, ours, theirs)]
    for cost, changed in enumerate([[f] for f in differing] + ([differing] if len(differing) > 1 else [])):
        made = {n: replace(ours[n], **{f: getattr(theirs[n], f) for f in changed}) for n in names}
        after = _misfit(both, made, clip)
        cause = _group_cause(changed[0], ours, theirs)
        first = next(n for n in names if getattr(ours[n], changed[0]) != getattr(theirs[n], changed[0]))
        words = " and ".join(
            f"{WORDS.get(f, f)} {number(getattr(theirs[first], f))} in place of {number(getattr(ours[first], f))}"
            for f in changed
        )
        yield Hypothesis(cause, f"with {words}", before, after, 1 + (cost > 0) * (len(changed) > 1))
    if not differing and as_theirs > 1e-5:
        yield from _free(both, ours, clip, before)


OF_KINDS = {
    "beta1": ("adam", "adamax", "nadam", "radam"), "beta2": ("adam", "adamax", "nadam", "radam"), "amsgrad": ("adam",),
    "epsilon_place": ("rmsprop", "adamax"), "smoothing": ("rmsprop", "adadelta"), "initial": ("adagrad",),
    "momentum_decay": ("nadam",), "rate_decay": ("adagrad",), "fall": ("rprop",), "rise": ("rprop",),
    "least": ("rprop",), "most": ("rprop",),
}  # fmt: skip
"""The rules that use a setting, where not all do."""


def _idle(field: str, ours: dict[str, Rule], theirs: dict[str, Rule]) -> bool:
    """Settings that do not matter: where the rule does not use them."""
    rules_used = [*ours.values(), *theirs.values()]
    if field in OF_KINDS:
        return not any(rule.kind in OF_KINDS[field] for rule in rules_used)
    if field == "epsilon":
        return all(rule.kind in ("sgd", "rprop") for rule in rules_used)
    if field == "decay_kind":
        return all(rule.decay == 0 for rule in rules_used)
    return field == "rate" and all(np.isclose(ours[n].rate, theirs[n].rate, rtol=1e-5) for n in ours)


def _group_cause(field: str, ours: dict[str, Rule], theirs: dict[str, Rule]) -> str:
    differ = [n for n in ours if getattr(ours[n], field) != getattr(theirs[n], field)]
    if (
        field == "decay"
        and len(differ) < len(ours)
        and any(theirs[n].decay or ours[n].decay for n in set(ours) - set(differ))
    ):
        return "weight_decay_group"
    return CAUSE_OF[field]


def _misfit(both: Optimised, tried: dict[str, Rule], clip: Callable | None) -> float:
    """The largest relative error of the rules' updates against the reference's."""
    worst = 0.0
    for name, rule in tried.items():
        weight = both.weight(name)
        for trial in range(len(GRADIENT_FACTORS)):
            wanted = both.wanted(name, trial)
            if wanted is None or weight is None:
                continue
            gradients = _gradients(weight.shape, name, trial)
            if clip is not None and trial == 0:
                gradients = clip(name, gradients)
            made = updates(rule, weight, gradients)
            if made is None:
                return float("inf")
            rounding = 4.0 * both.unit * sum(float(np.abs(a).max(initial=0.0)) for a in (weight, *wanted))
            for one, two in zip(made, wanted, strict=True):
                size = float(np.abs(two).max()) or float(np.abs(one).max()) or 1.0
                worst = max(worst, max(float(np.abs(one - two).max()) - rounding, 0.0) / size)
    return worst


def _free(
    both: Optimised, ours: dict[str, Rule], clip: Callable | None, before: float
) -> Iterator[Hypothesis]:
    """Values that users set, where the recorded settings are alike and the updates are not."""
    grids: dict[str, tuple] = {
        "nesterov": (True, False), "momentum": (0.0, 0.5, 0.8, 0.9, 0.95, 0.99), "dampening": (0.0, 0.1, 0.5, 0.9),
        "beta1": (0.0, 0.5, 0.8, 0.9, 0.95), "beta2": (0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999),
        "epsilon": (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-16), "initial": (0.0, 0.1, 1.0, 1e-6),
        "decay_kind": ("coupled", "decoupled"), "kind": ("sgd", "adam", "adagrad", "rmsprop", "adadelta", "adamax"),
        "smoothing": (0.9, 0.95, 0.99, 0.999), "epsilon_place": PLACES,
    }  # fmt: skip
    for field, values in grids.items():
        if _idle(field, ours, ours):
            continue
        for value in values:
            made = {n: replace(rule, **{field: value}) for n, rule in ours.items()}
            words = f"with {WORDS.get(field, field)} {number(value)}"
            yield Hypothesis(CAUSE_OF[field], words, before, _misfit(both, made, clip), 2)


# --- clipping -------------------------------------------------------------------------------------------------------


def _effective(
    both: Optimised, side: Recording, names: dict[str, str], rule_of: dict[str, Rule], step: str = "0.0"
) -> dict[str, np.ndarray]:
    """Each parameter's gradient as the optimizer took it in its first step, by the reference's name, without the
    decay that was added to it."""
    found = {}
    for name, shown in names.items():
        rule = rule_of.get(name)
        moment, velocity = (f"optimizer/{step}/states/{shown}/{state}" for state in ("moment1", "velocity"))
        update = f"optimizer/{step}/updates/{shown}"
        if rule is None:
            continue
        if rule.kind == "adam" and moment in side and side.kept(moment):
            found[name] = side.get(moment).astype(np.float64) / (1 - rule.beta1)
        elif rule.kind == "sgd" and velocity in side and side.kept(velocity):
            found[name] = side.get(velocity).astype(np.float64)
        elif rule.kind == "sgd" and update in side and side.kept(update) and rule.rate:
            found[name] = (
                -side.get(update).astype(np.float64) / rule.rate / (1 + rule.momentum * rule.nesterov)
            )
        weight = both.weight(name)
        if name in found and weight is not None and rule.decay and rule.decay_kind == "coupled":
            turned = side is both.port and any(
                ours.layout != theirs.layout for ours, theirs in both.links.pairs if theirs.tensor == name
            )
            weight = weight.T if turned else weight
            if weight.shape == found[name].shape:
                found[name] -= rule.decay * weight
    return found


def _clip_of(
    effective: dict[str, np.ndarray], given: dict[str, np.ndarray]
) -> tuple[str, float, dict[str, float]]:
    """How gradients were clipped: ``none``, ``norm`` (all by one factor), ``value``, ``groups`` or ``unknown``."""
    factors, capped = {}, []
    for name, found in effective.items():
        wanted = given[name]
        if found.size != wanted.size:
            continue
        one, two = np.sort(np.abs(found).reshape(-1)), np.sort(np.abs(wanted).reshape(-1))
        factor = float(one @ two / (two @ two))
        if np.abs(one - factor * two).max() <= 1e-4 * two.max():
            factors[name] = factor
        else:
            bound = float(one.max())
            if np.abs(np.minimum(two, bound) - one).max() <= 1e-4 * bound:
                capped.append(bound)
    if capped and np.ptp(capped) <= 1e-4 * max(capped):
        return "value", max(capped), factors
    if not factors:
        return "unknown", 0.0, factors
    values = np.array(list(factors.values()))
    if np.ptp(values) > 1e-4 * values.max():
        return "groups", 0.0, factors
    return ("none" if abs(values.mean() - 1) < 1e-4 else "norm"), float(values.mean()), factors


def _both_clips(both: Optimised) -> list[tuple[str, float, dict[str, float]]]:
    shapes = {e["name"]: tuple(e["shape"]) for e in both.reference.data["parameters"]}
    given = {n: _gradients(shapes[n], n, 0)[0] for n in both.theirs if n in shapes}
    port_names = {n: both.links.port_names(n)[0] for n in given if both.links.port_names(n)}
    return [
        _clip_of(_effective(both, both.port, port_names, both.ours), given),
        _clip_of(_effective(both, both.reference, {n: n for n in given}, both.theirs), given),
    ]


def _total_norm(both: Optimised) -> float:
    shapes = {e["name"]: tuple(e["shape"]) for e in both.reference.data["parameters"]}
    return float(
        np.sqrt(sum((_gradients(shapes[n], n, 0)[0] ** 2).sum() for n in both.theirs if n in shapes))
    )


def _fitted_clip(both: Optimised) -> Callable | None:
    """How the reference clips, as read off its first step."""
    shapes = {e["name"]: tuple(e["shape"]) for e in both.reference.data["parameters"]}
    kind, amount, _ = _both_clips(both)[1]
    group = [n for n in both.theirs if n in shapes]
    if kind == "norm" and amount < 1:
        return _scales(both, "norm", amount * _total_norm(both), group)
    if kind == "value":
        return _scales(both, "value", amount, group)
    return None


def _clipping(both: Optimised) -> Diagnosis | None:
    ours, theirs = _both_clips(both)
    if ours[0] == theirs[0] and abs(ours[1] - theirs[1]) <= 1e-3 * max(ours[1], theirs[1], 1e-300):
        return _late_clipping(both)
    total = _total_norm(both)
    return Diagnosis(
        "gradient_clipping",
        f"the port {_clip_words(ours, total)}, the reference {_clip_words(theirs, total)}",
    )


def _clip_words(clip: tuple[str, float, dict[str, float]], total: float) -> str:
    kind, amount, _ = clip
    if kind == "norm":
        return f"scales all gradients by {amount:.4g} (a global norm of {amount * total:.4g})"
    if kind == "value":
        return f"clips each element of the gradient at {amount:.4g}"
    if kind == "groups":
        return "scales the gradients of its groups by other factors"
    return "does not clip these gradients" if kind == "none" else "changes the gradients in another way"


def _late_clipping(both: Optimised) -> Diagnosis | None:
    """Clipping that only the enlarged gradients of a later step show."""
    names = [
        n
        for n in both.theirs
        if n in both.ours and both.weight(n) is not None and both.wanted(n, 0) is not None
    ]
    rules_of = {n: both.theirs[n] for n in names[:SOME]}
    shapes = {e["name"]: tuple(e["shape"]) for e in both.reference.data["parameters"]}
    group = [n for n in both.theirs if n in shapes]
    before = _misfit(both, rules_of, None)
    if before < 1e-5:
        if all(both.ours[n] == both.theirs[n] for n in rules_of):
            return Diagnosis(
                "gradient_clipping", "the reference follows its rule unclipped, the port does not"
            )
        return None
    total = _total_norm(both)
    tried = [
        Hypothesis("gradient_clipping", f"clipped at a global norm of {bound:.4g}", before,
                   _misfit(both, rules_of, _scales(both, "norm", bound, group)))
        for bound in (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 35.0, 40.0, 50.0, 100.0) if bound < 31 * total
    ]  # fmt: skip
    tried += [
        Hypothesis("gradient_clipping", f"each gradient clipped at a norm of its own of {bound:.4g}", before,
                   _misfit(both, rules_of, _scales(both, "each", bound, group)))
        for bound in (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0)
    ]  # fmt: skip
    tried += [
        Hypothesis("gradient_clipping", f"each element clipped at {bound:.4g}", before,
                   _misfit(both, rules_of, _scales(both, "value", bound, group)))
        for bound in (0.01, 0.1, 0.25, 0.5, 1.0, 5.0)
    ]  # fmt: skip
    chosen = best(tried)
    return None if chosen is None else chosen.diagnosis()


# --- decay ----------------------------------------------------------------------------------------------------------


def _moved(side: Recording, names: list[str]) -> np.ndarray | None:
    """What the step with zero gradients did to a parameter, the parts of one that the side keeps apart joined; None
    where it was not kept."""
    fulls = [f"decay/{name}" for name in names]
    if any(full in side and not side.kept(full) for full in fulls):
        return None
    return np.concatenate([
        side.get(f).astype(np.float64).reshape(-1) if f in side else np.zeros(_size(side, n))
        for f, n in zip(fulls, names, strict=True)
    ])  # fmt: skip


def _size(side: Recording, name: str) -> int:
    return next(math.prod(e["shape"]) for e in side.data["parameters"] if e["name"] == name)


def _decay_of(update: np.ndarray | None, weight: np.ndarray, rule: Rule | None) -> tuple[str, float]:
    """How one parameter decays in a step with zero gradients: kind, and the coefficient times the rate."""
    if update is None or not update.any() or update.size != weight.size:
        return "none", 0.0
    update = np.sort(update)
    weight = np.where(weight == 0, 1.0, weight).astype(np.float64).reshape(-1)
    ordered = np.sort(-weight)
    ratio = float(update @ ordered / (ordered @ ordered))
    ratio = ratio / (1 + rule.momentum) if rule is not None and rule.nesterov else ratio
    if rule is not None and rule.nesterov:
        update = update / (1 + rule.momentum)
    if np.abs(update - ratio * ordered).max() <= 1e-3 * np.abs(update).max():
        return "proportional", ratio
    size = float(np.median(np.abs(update)))
    return ("sign" if np.ptp(np.abs(update)) <= 0.2 * size else "other"), size


def _decays(both: Optimised) -> dict[str, tuple[tuple[str, float], tuple[str, float]]]:
    found = {}
    for name in both.theirs:
        weight, ours = both.weight(name), both.links.port_names(name)
        if weight is None or not ours or weight.size < 1 or len(both.links.reference_names(ours[0])) > 1:
            continue
        moved = _moved(both.port, ours)
        if moved is None or moved.size != weight.size:
            continue
        found[name] = (
            _decay_of(moved, weight, both.ours.get(name)),
            _decay_of(_moved(both.reference, [name]), weight, both.theirs.get(name)),
        )
    return found


def _decayed(both: Optimised, name: str, decay: tuple[str, float]) -> np.ndarray | None:
    """What a decay that was read off moves one parameter by; None where its form is not known."""
    kind, amount = decay
    weight, rule = both.weight(name), both.theirs.get(name)
    if weight is None or kind == "other":
        return None
    weight = np.where(weight == 0, 1.0, weight).astype(np.float64)
    if kind == "proportional":
        return -amount * weight * (1 + rule.momentum if rule is not None and rule.nesterov else 1.0)
    return -amount * np.sign(weight) if kind == "sign" else np.zeros_like(weight)


def _decay_errors(both: Optimised, decays: dict[str, tuple]) -> tuple[float, float] | None:
    """Errors against the reference's recorded decay, of the port's decay and of the reference's form of decay.

    Each is the largest difference over the parameters, relative to the reference's largest move, or to the port's
    where the reference does not move. None where one was not recorded, or has a form that is not known.
    """
    worst = [0.0, 0.0]
    for name, (_, theirs) in decays.items():
        made = _decayed(both, name, theirs)
        found, wanted = _moved(both.port, both.links.port_names(name)), _moved(both.reference, [name])
        if made is None or found is None or wanted is None or not made.size == found.size == wanted.size:
            return None
        made = made.reshape(-1)
        size = float(np.abs(wanted).max()) or float(np.abs(found).max()) or 1.0
        # Sorted, because the port may hold the parameter transposed.
        apart = np.abs(np.sort(found) - np.sort(wanted))
        worst = [max(worst[0], float(apart.max()) / size),
                 max(worst[1], float(np.abs(made - wanted).max()) / size)]  # fmt: skip
    return worst[0], worst[1]


def _alike(one: tuple[str, float], two: tuple[str, float]) -> bool:
    return one[0] == two[0] and abs(one[1] - two[1]) <= 1e-3 * max(abs(one[1]), abs(two[1]), 1e-300)


def _decay_cause(decays: dict[str, tuple], both: Optimised) -> tuple[str, str]:
    differ = {n: pair for n, pair in decays.items() if not _alike(*pair)}
    if not differ:
        return "", ""
    ours, theirs = next(iter(differ.values()))
    kinds = {(a[0], b[0]) for a, b in differ.values()}
    first = next(iter(differ))
    rates = [r.get(first, Rule(rate=1.0)).rate or 1.0 for r in (both.ours, both.theirs)]
    if not np.isclose(rates[0], rates[1], rtol=1e-4) and _alike(
        (ours[0], ours[1] / rates[0]), (theirs[0], theirs[1] / rates[1])
    ):
        return "", ""
    shown = [_decay_words(d, r) for d, r in zip((ours, theirs), rates, strict=True)]
    words = f"given zero gradients the port's {first} {shown[0]}, the reference's {shown[1]}"
    decaying = {n for n, pair in decays.items() if pair[1][0] != "none"}
    agreeing = {n for n, pair in decays.items() if n not in differ and pair[1][0] != "none"}
    one_sided = all("none" in kind for kind in kinds)
    if one_sided and (agreeing or (not decaying - set(differ) and _partly(differ, decays))):
        return "weight_decay_group", words
    if not one_sided and any("none" not in kind and kind[0] != kind[1] for kind in kinds):
        return "weight_decay_kind", words
    return "weight_decay", words


def _partly(differ: dict[str, tuple], decays: dict[str, tuple]) -> bool:
    """Whether the sides disagree on which parameters decay, and both decay some."""
    ours = {n for n, pair in decays.items() if pair[0][0] != "none"}
    theirs = {n for n, pair in decays.items() if pair[1][0] != "none"}
    return bool(ours and theirs and ours != theirs and differ)


def _decay_words(decay: tuple[str, float], rate: float) -> str:
    kind, amount = decay
    if kind == "none":
        return "does not move"
    if kind == "proportional":
        return f"shrinks by {amount / rate:.4g} of itself times the rate"
    return "moves by the sign of the weight" if kind == "sign" else f"moves by {amount:.3g}"


def _decay(both: Optimised) -> Diagnosis | None:
    """What steps with zero gradients show."""
    decays = _decays(both)
    cause, words = _decay_cause(decays, both)
    if not cause:
        return None
    errors = _decay_errors(both, decays)
    if errors is not None:
        chosen = Hypothesis(cause, f"{words}: with that decay", *errors)
        return chosen.diagnosis() if chosen.fits else Diagnosis(cause, words)
    return Diagnosis(cause, words)


# --- what is left ---------------------------------------------------------------------------------------------------


STATE_OF = {"moment1": ("beta1",), "moment2": ("beta2",), "velocity": ("momentum", "dampening"), "sum": ("initial",),
            "square_average": ("smoothing",)}  # fmt: skip


def _state(divergence: Divergence, both: Optimised) -> Diagnosis | None:
    """States that differ where the updates do not, as while the rate is still zero."""
    names = divergence.facts.get("names", [])
    if divergence.stage != "optimizer" or not names or not all("/" in name for name in names):
        return None
    state = names[0].rpartition("/")[2]
    for name, theirs in both.theirs.items():
        for field in STATE_OF.get(state, ()):
            one, two = getattr(both.ours.get(name, theirs), field), getattr(theirs, field)
            if one != two:
                evidence = (
                    f"the state {state} alone differs: {field} is {number(one)} in place of {number(two)}"
                )
                return Diagnosis(CAUSE_OF[field], evidence)
    return Diagnosis("optimizer_state", f"the updates agree, the state {state} does not")


def _settings(both: Optimised) -> Diagnosis | None:
    """Settings that differ, where no rule of numpy reproduces the updates."""
    for name, theirs in both.theirs.items():
        ours = both.ours.get(name)
        if ours is None or ours == theirs:
            continue
        for field in fields(Rule):
            one, two = getattr(ours, field.name), getattr(theirs, field.name)
            if field.name == "kind" and not {one, two} <= set(KINDS.values()):
                continue
            if one != two and not _idle(field.name, {name: ours}, {name: theirs}):
                words = WORDS.get(field.name, field.name)
                return Diagnosis(
                    CAUSE_OF[field.name],
                    f"the port's {words} is {number(one)}, the reference's {number(two)}",
                )
    return None


def steps(divergence: Divergence) -> Diagnosis | None:
    """Why training steps differ though every part alone agrees: settings that act between the parts."""
    if divergence.recordings is None:
        return None
    ours, theirs = (side.data["settings"] for side in divergence.recordings)
    facts: dict[str, Any] = {"accumulate": "accumulation", "schedule_every": "schedule_unit"}
    for name, cause in facts.items():
        if ours.get(name) != theirs.get(name):
            return Diagnosis(
                cause, f"the port's {name} is {ours.get(name)}, the reference's {theirs.get(name)}"
            )
    names = divergence.facts.get("names", [])
    if names and all(name.startswith("evaluated/") for name in names):
        return averages.diagnose(divergence)
    if names and all(name.startswith("losses/") for name in names):
        return _cut_off(divergence)
    # Given the same gradients the optimizers do the same, clipping included: that stage comes first.
    return _without_gradient(divergence) or _bounded(divergence)


def _bounded(divergence: Divergence) -> Diagnosis | None:
    """Rprop's bounds, which its steps may reach in training alone."""
    both = optimised(divergence)
    return _settings(both) if any(rule.kind == "rprop" for rule in both.theirs.values()) else None


def _cut_off(divergence: Divergence) -> Diagnosis | None:
    """A step's loss that alone differs, its weights agreeing before and after, where an example's loss is beyond what
    Paddle's log_softmax and cross_entropy give."""
    assert divergence.recordings is not None  # noqa: S101
    port, reference = divergence.recordings
    calls = reference.data.get("trace", {}).get("train", {}).get("calls", ())
    call = next((c for c in calls if c["operation"] in defects.OF_SOFTMAX and c["inputs"]), None)
    shape = reference.shape(f"train/values/{call['inputs'][0]}") if call is not None else ()
    full = f"steps/{divergence.facts['step']}/losses/total"
    if (
        port.framework != "paddle"
        or call is None
        or not shape
        or not all(full in side for side in (port, reference))
    ):
        return None
    ours, theirs = (float(side.get(full)) for side in (port, reference))
    if not (ours < theirs and theirs * math.prod((shape[0], *shape[2:])) > -defects.CLIPPED):
        return None
    said = defects.OF_SOFTMAX[call["operation"]]
    evidence = f"the loss alone differs, {number(ours)} in place of {number(theirs)}: {said}"
    return Diagnosis("framework_defect", evidence)


def _without_gradient(divergence: Divergence) -> Diagnosis | None:
    """A parameter that no gradient reaches on one side, and one of zeros on the other, where it decays."""
    assert divergence.recordings is not None  # noqa: S101
    port, reference = divergence.recordings
    links = links_from_json(port.data["links"])
    for name in divergence.facts.get("names", []):
        others = links.reference_names(name)
        reached = [
            f"train/gradients/{name}" in port,
            any(f"train/gradients/{o}" in reference for o in others),
        ]
        if others and reached[0] != reached[1]:
            who, cause = ("port", "detached") if reached[1] else ("reference", "not_detached")
            evidence = f"no gradient reaches {name} in the {who}; on the other side it is zero, and the weight decays"
            return Diagnosis(cause, evidence)
    return None
