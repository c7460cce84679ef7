"""What differs between two runs: their plans, what they ran on, and what came out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fuxian.report.numbers import format_figure
from fuxian.report.run_view import RunView, flat


@dataclass(frozen=True)
class Difference:
    """One line: ``where`` it stands, and what each of the two runs has there; None where it has nothing."""

    where: str
    first: str | None
    second: str | None


NEVER_THE_SAME = frozenset({"command"})
"""Written differently by every run and told by other lines."""


def differences(first: RunView, second: RunView) -> list[Difference]:
    """Of config.json, environment.json, the last line of the log, and the measured figures."""
    found = []
    for name, ours, theirs in (
        ("config", first.config, second.config),
        ("environment", first.environment, second.environment),
        ("log, last step", _last(first), _last(second)),
        ("measured", _measured(first), _measured(second)),
    ):
        a, b = flat(ours or {}), flat(theirs or {})
        for key in dict.fromkeys([*a, *b]):
            if a.get(key) != b.get(key) and key not in NEVER_THE_SAME:
                found.append(Difference(f"{name}: {key}", a.get(key), b.get(key)))
    return found


def _last(run: RunView) -> dict[str, Any]:
    lines = [line for line in run.log or [] if line.loss is not None]
    return {"step": lines[-1].step, "loss": format_figure(lines[-1].loss)} if lines else {}


def _measured(run: RunView) -> dict[str, Any]:
    found = run.measurements
    named = {} if found is None else {name: format_figure(value) for name, value in found.figures.items()}
    ruling = {} if run.verdict is None else {"verdict": run.verdict.verdict}
    return named | ruling
