"""The curves of a report: what was logged during training, and the curves that were measured afterwards."""

import math
from dataclasses import replace

from fuxian.report import figures
from fuxian.report.blocks import Key, Picture, Table
from fuxian.report.claim_runs import ClaimRuns
from fuxian.report.language import Say
from fuxian.report.numbers import format_figure, format_interval, half_width
from fuxian.report.run_view import LogLine, RunView, Series
from fuxian.report.terms import Term

_MOST_ROWS = 30
"""A plotted curve's numbers are also given as a table where it has at most this many points."""


def learning_curves(part: ClaimRuns, say: Say, term: Term) -> tuple[list[Picture], list[str]]:
    """The pictures of what was logged, every run in each, and notes on what a reader should know of them."""
    notes = []
    logged = any(run.log for run in part.runs)
    lines: dict[str, list[figures.Line]] = {}
    for style, run in enumerate(part.runs):
        if not run.log:
            if run.is_training and not (run.log is None and logged):
                notes.append(f"{run.name}: {say('no_log' if run.log is None else 'empty_log')}")
            continue
        broken = next((e.step for e in run.log if e.loss is not None and not math.isfinite(e.loss)), None)
        if broken is not None:
            notes.append(say("not_finite", run=run.name, step=broken))
        for name, points in _logged(run.log).items():
            line = figures.Line(
                _label(run, part, say), [x for x, _ in points], [y for _, y in points], style=style
            )
            lines.setdefault(name, []).append(line)
    if any(len(line.x) > figures.MOST_POINTS for group in lines.values() for line in group):
        notes.append(say("thinned", count=figures.MOST_POINTS))
    pictures = []
    for name, group in lines.items():
        title = say("eval_figure", name=term(name)) if name else say("loss_figure")
        thin = [line for line in map(figures.thinned, group) if line.x]
        if thin:
            labels = (say("step"), term(name) or say("loss"))
            picture = _picture(title, thin, labels, f"{part.claim.id} log {name}", say, markers=False)
            pictures.append(replace(picture, name=labels[1]))
    return pictures, notes


def _logged(log: list[LogLine]) -> dict[str, list[tuple[float, float]]]:
    """(step, figure) pairs of every evaluated figure by its name, and of the loss under the empty name."""
    series: dict[str, list[tuple[float, float]]] = {}
    for entry in log:
        if entry.loss is not None:
            series.setdefault("", []).append((entry.step, entry.loss))
        for name, value in (entry.eval or {}).items():
            series.setdefault(name, []).append((entry.step, value))
    return series


def named_curves(part: ClaimRuns, say: Say, term: Term) -> list[tuple[Picture, Table | None]]:
    """Curves of measurements.json, those with the same axes in one picture, each with its numbers."""
    with_curves = [(run, found.curves) for run, found in part.measurements if found.curves]
    groups: dict[tuple[str, str], dict[str, Series]] = {}
    for run, curves in with_curves:
        for name, series in curves.items():
            label = term(name) if len(with_curves) == 1 else f"{term(name)} ({_label(run, part, say)})"
            groups.setdefault((term(series.x_label), term(series.y_label)), {})[label] = series
    found = []
    for (x_label, y_label), together in groups.items():
        lines = [
            figures.Line(name, one.x, one.y, one.low, one.high, style)
            for style, (name, one) in enumerate(together.items())
        ]
        title = say("named_figure", x=x_label, y=y_label)
        drawn = [line for line in lines if any(map(math.isfinite, line.y))]
        if drawn:
            key = f"{part.claim.id} curve {x_label} {y_label}"
            picture = _picture(title, drawn, (x_label, y_label), key, say, markers=True)
            found.append((picture, _numbers(title, x_label, together, say)))
    return found


def _numbers(title: str, x_label: str, curves: dict[str, Series], say: Say) -> Table | None:
    xs = sorted({x for one in curves.values() for x in one.x})
    if len(xs) > _MOST_ROWS:
        return None
    columns = [dict(zip(one.x, _cells(one), strict=True)) for one in curves.values()]
    rows = [(f"{x:g}", *(column.get(x, "–") for column in columns)) for x in xs]
    return Table(say("numbers_of", title=title), [x_label, *curves], rows)


def _cells(series: Series) -> list[str]:
    if series.low is None or series.high is None:
        return [format_figure(y) for y in series.y]
    return [
        f"{format_figure(y, half_width(band))} {format_interval(band)}"
        for y, band in zip(series.y, zip(series.low, series.high, strict=True), strict=True)
    ]


def _picture(
    title: str, lines: list[figures.Line], labels: tuple[str, str], key: str, say: Say, *, markers: bool
) -> Picture:
    last = "; ".join(f"{line.name} {format_figure(line.y[-1])}" for line in lines)
    names = ", ".join(line.name for line in lines)
    alt = say("curve_alt", x=labels[0], y=labels[1], names=names, last=last)
    svg = figures.draw_lines(lines, *labels, markers=markers, key=key)
    legend = [Key(line.name, figures.colour(line.style), dashes=figures.dashes(line.style)) for line in lines]
    return Picture(title, alt, svg, legend)


def _label(run: RunView, part: ClaimRuns, say: Say) -> str:
    """The seed where it tells the runs with a log apart, else the run."""
    alike = sum(other.seed == run.seed for other in part.runs if other.log) > 1
    return run.name if run.seed is None or alike else say("seed_name", seed=run.seed)
