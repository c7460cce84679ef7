"""``report.html``: one self-contained file with the cause, the stages, both trees, error growth and worst elements."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import jinja2
import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fuxian.align.alignment import Alignment, result_json
from fuxian.align.causes import CAUSES
from fuxian.align.module_table import Row
from fuxian.align.stages import StageResult
from fuxian.align.terminal import MARKS, shown_line, shown_place

COLOURS = {"port": "#2563eb", "allowed": "#9ca3af", "differs": "#dc2626"}
WORST_SHOWN = 20


def write_report(alignment: Alignment, path: Path | str) -> None:
    """Write the report. It loads nothing from anywhere: pictures are inline SVG."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fuxian.align", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["figure"] = lambda value: "" if value is None else f"{float(value):.2e}"
    document = result_json(alignment)
    text = environment.get_template("report.html.j2").render(
        alignment=alignment,
        document=document,
        first=document["first_divergence"],
        causes=CAUSES,
        place=shown_place,
        line=shown_line,
        marks=MARKS,
        nearest={r.stage: "" if r.worst is None else r.worst.name or "the output" for r in alignment.stages},
        allowed={known.name: known.reason for result in alignment.stages for known in result.known},
        growth=growth_plot(alignment),
        pictures={result.stage: histogram(result) for result in alignment.stages if result.tensors},
        worst={result.stage: _worst(result) for result in alignment.stages},
        environments=_environments(alignment),
    )
    Path(path).write_text(text, encoding="utf-8")


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "fuxian", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    text = re.sub(r"<metadata>.*?</metadata>", "", buffer.getvalue(), flags=re.DOTALL)
    return text[text.index("<svg") :]


def growth_plot(alignment: Alignment) -> str:
    """The relative errors of the modules' outputs in the order in which they were given, as SVG; empty without any."""
    rows = [row for row in _by_output(alignment.rows) if row.error is not None]
    if not rows:
        return ""
    figure = Figure(figsize=(9, 3))
    axes = figure.subplots()
    errors = [max(row.error or 0.0, 1e-18) if row.error != float("inf") else 1e3 for row in rows]
    axes.semilogy(range(len(rows)), errors, color=COLOURS["port"], marker=".", linewidth=1)
    marked = [i for i, row in enumerate(rows) if row.mark in ("differs", "first")]
    axes.semilogy(
        marked, [errors[i] for i in marked], "o", color=COLOURS["differs"], label="differs, its inputs agree"
    )
    axes.set(xlabel="module, in the order of their outputs", ylabel="relative error of the output")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if marked:
        axes.legend(frameon=False, loc="lower right")
        named = next((i for i in marked if rows[i].mark == "first"), marked[0])
        axes.annotate(rows[named].port or rows[named].reference, (named, errors[named]),
                      textcoords="offset points", xytext=(6, -12))  # fmt: skip
    axes.spines[["top", "right"]].set_visible(False)
    return _svg(figure)


def _by_output(rows: list[Row]) -> list[Row]:
    """A module's output comes after those of the modules in it."""
    running: list[Row] = []
    given: list[Row] = []
    for row in rows:
        while running and running[-1].depth >= row.depth:
            given.append(running.pop())
        running.append(row)
    return given + running[::-1]


def histogram(result: StageResult) -> str:
    """The errors of a stage's elements by decade, as SVG; of its tensors where only sketches were kept."""
    counts = [0] * 19
    for tensor in result.tensors:
        for decade, count in enumerate(tensor.histogram):
            counts[decade] += count
    if not any(counts):
        return ""
    figure = Figure(figsize=(4.5, 1.6))
    axes = figure.subplots()
    axes.bar(range(-18, 1), counts, color=COLOURS["port"], width=0.8)
    axes.set_yscale("log")
    axes.set(xlabel="relative error, decade", ylabel="elements")
    axes.spines[["top", "right"]].set_visible(False)
    return _svg(figure)


def _worst(result: StageResult) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for tensor in sorted(result.tensors, key=lambda t: -t.error if t.error == t.error else 0.0):
        if tensor.agrees:
            continue
        if not tensor.worst:
            rows.append(
                {"name": tensor.name, "index": "", "port": tensor.problem, "reference": "", "error": ""}
            )
        for index, one, two in tensor.worst:
            place = ", ".join(map(str, index))
            difference = f"{abs(one - two):.3g}"
            rows.append(
                {"name": tensor.name, "index": place, "port": one, "reference": two, "error": difference}
            )
    return rows[:WORST_SHOWN]


def _environments(alignment: Alignment) -> list[tuple[str, str, str, bool]]:
    port, reference = (side.data["environment"] for side in (alignment.pair.port, alignment.pair.reference))
    rows = []
    for name in dict.fromkeys([*port, *reference]):
        one, two = (str(side.get(name, "")) for side in (port, reference))
        rows.append((name, one, two, name in port and name in reference and one != two))
    return rows
