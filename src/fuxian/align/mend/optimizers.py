"""What to change where a port makes its optimizer, its schedule and their parts."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from fuxian.align.diagnose import updates
from fuxian.align.diagnose.optimizers import Rule
from fuxian.align.divergence import Diagnosis, Divergence
from fuxian.align.mend.arguments import Target
from fuxian.align.mend.sites import Made, Sites
from fuxian.align.mend.source import Site

ARGUMENTS = {
    "rate": "learning_rate", "momentum": "momentum", "nesterov": "use_nesterov", "beta1": "beta1", "beta2": "beta2",
    "epsilon": "epsilon", "decay": "weight_decay", "initial": "initial_accumulator_value", "smoothing": "rho",
    "centred": "centered", "amsgrad": "amsgrad",
}  # fmt: skip
"""Paddle's arguments for the settings of a rule."""
_NUMBER = r"(-?\d[\d.]*(?:e-?\d+)?)"


@dataclass(frozen=True)
class Changes:
    """New values for what is made at a site, or another class in its place."""

    sites: Sites
    target: Target
    values: dict[str, Any] = field(default_factory=dict)
    renamed: str = ""


def site_of(file: Path, node: ast.Call) -> Site:
    return Site(file, node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0)


def changes(found: Divergence, cause: Diagnosis, made: Made) -> Iterator[Changes]:
    """What would make the port's optimizer, or its schedule, the reference's."""
    if found.stage == "learning_rate":
        yield from _schedule(cause, made)
        return
    both = updates.optimised(found)
    names = [name for name in both.theirs if name in both.ours]
    if not names:
        return
    wanted = {}
    for setting in fields(Rule):
        theirs = {getattr(both.theirs[name], setting.name) for name in names}
        ours = {getattr(both.ours[name], setting.name) for name in names}
        if len(theirs) == 1 and theirs != ours:
            wanted[setting.name] = theirs.pop()
    held = wanted.get("kind"), wanted.get("decay_kind")
    wanted = {name: value for name, value in wanted.items() if name in ARGUMENTS and name != "rate"}
    of_cause = {n: v for n, v in wanted.items() if updates.CAUSE_OF.get(n) == cause.cause}
    for thing, sites in made.of_class("Optimizer"):
        target = Target.of(type(thing))
        for chosen in (of_cause, wanted):
            values = {ARGUMENTS[n]: v for n, v in chosen.items()}
            if values and all(target.takes(name) for name in values):
                yield Changes(sites, target, values)
        name = _class_like(both, found, type(thing).__name__, held)
        if name:
            other = Target.named(f"paddle.optimizer.{name}")
            if other is not None:
                values = {ARGUMENTS[n]: v for n, v in wanted.items() if other.takes(ARGUMENTS[n])}
                yield Changes(sites, other, {}, name)
                yield Changes(sites, other, values, name)
        if cause.cause.startswith("weight_decay"):
            decays = {rule.decay for rule in both.theirs.values()}
            if len(decays) == 1 and target.takes("weight_decay"):
                yield Changes(sites, target, {"weight_decay": decays.pop()})


def _class_like(both: Any, found: Divergence, own: str, held: tuple) -> str:
    """Paddle's name of the class that the reference's optimizer is of, where it is another."""
    assert found.recordings is not None  # noqa: S101
    made = found.recordings[1].stages.get("optimizer", {}).get("settings", {})
    names = {entry["class"] for entry in made.values()}
    if len(names) != 1:
        return ""
    name = {"RMSprop": "RMSProp"}.get(name := names.pop(), name)
    moving = any(rule.momentum for rule in both.theirs.values())
    name = ("Momentum" if moving else "SGD") if name == "SGD" else name
    return name if name != own and (any(held) or {name, own} == {"Momentum", "SGD"}) else ""


def _schedule(cause: Diagnosis, made: Made) -> Iterator[Changes]:
    """What the evidence says of the rates, as arguments of the schedule."""
    text = cause.evidence
    gamma = re.search(rf"decay factor of {_NUMBER}", text)
    power = re.search(rf"raised to the power {_NUMBER}", text)
    stretched = re.search(r"stretched from (\d+) to (\d+) steps", text)
    scaled = re.search(rf"with {_NUMBER} of the port's steps for each", text)
    highest = re.search(rf"with {_NUMBER} as the highest rate", text)
    times = re.search(rf"rate is {_NUMBER} times the reference's", text)
    steps = [
        int(step) for step in re.findall(r"\d+", text.partition("factor at steps ")[2].partition(" the ")[0])
    ]
    lowest = re.search(rf"so that {_NUMBER} is the lowest rate", text)
    for thing, sites in made.of_class("LRScheduler"):
        target = Target.of(type(thing))

        def held(name: str, thing: Any = thing, target: Target = target) -> Any:
            return getattr(thing, name, None) if target.takes(name) else None

        if gamma and held("gamma") is not None:
            yield Changes(sites, target, {"gamma": float(gamma[1])})
        if power and held("power") is not None:
            yield Changes(sites, target, {"power": round(float(held("power")) * float(power[1]), 6)})
        ratio = (
            int(stretched[2]) / int(stretched[1]) if stretched else 1 / float(scaled[1]) if scaled else None
        )
        for name in ("T_max", "decay_steps", "step_size", "total_steps") if ratio else ():
            value = held(name)
            if isinstance(value, (int, float)):
                yield Changes(sites, target, {name: round(value * ratio)})  # type: ignore[operator]
        if steps and held("milestones") is not None:
            yield Changes(sites, target, {"milestones": steps})
        if steps and held("step_size") is not None:
            yield Changes(sites, target, {"step_size": steps[0]})
        for name in ("eta_min", "end_lr") if lowest else ():
            if lowest and held(name) is not None:
                yield Changes(sites, target, {name: float(lowest[1])})
        if highest and held("learning_rate") is not None:
            yield Changes(sites, target, {"learning_rate": float(highest[1])})
        if times and isinstance(value := getattr(thing, "base_lr", None), (int, float)):
            yield Changes(sites, target, {"learning_rate": float(f"{value / float(times[1]):.6g}")})
    for thing, sites in made.of_class("Optimizer") if times else ():
        rate = getattr(thing, "_learning_rate", None)
        if times and isinstance(rate, (int, float)):
            value = float(f"{rate / float(times[1]):.6g}")
            yield Changes(sites, Target.of(type(thing)), {"learning_rate": value})
