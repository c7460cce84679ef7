"""The pictures of a report, as SVG text to be put inside HTML.

Colours are CSS variables (`--ink`, `--s1` ...), so that one picture serves light, dark and print. Text
stays text: the reader's own fonts draw it, and Chinese needs no font here.
"""

import io
import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

# matplotlib needs concrete colours; each stands for a CSS variable until the SVG is written.
_VARIABLES = {
    "ink": "#010101",
    "muted": "#010102",
    "rule": "#010103",
    "zone": "#010104",
    "ours": "#010105",
    **{f"s{i}": f"#0102{i:02x}" for i in range(1, 7)},
}
_SERIES_COLOURS = 6
# Dash patterns in points; a series keeps its colour and its pattern, so colour is never the only cue.
DASHES: tuple[tuple[float, ...], ...] = ((), (5, 2), (1.2, 1.6), (6, 1.8, 1.2, 1.8))
_MARKERS = "osD^vP"
_WIDTH = 5.6  # inches; 403 px in the SVG's own units, so that 10.5 pt text is legible on a phone
MOST_POINTS = 300
"""A longer series is drawn as the means of this many stretches."""

_STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 10.5,
    "axes.edgecolor": _VARIABLES["rule"],
    "axes.labelcolor": _VARIABLES["ink"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": True,
    "grid.color": _VARIABLES["rule"],
    "grid.linewidth": 0.5,
    "xtick.color": _VARIABLES["rule"],
    "ytick.color": _VARIABLES["rule"],
    "xtick.labelcolor": _VARIABLES["muted"],
    "ytick.labelcolor": _VARIABLES["muted"],
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@dataclass(frozen=True)
class Line:
    """One series of a picture; `low` and `high` bound its band. `style` picks colour, dashes and marker."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    style: int = 0


def colour(style: int) -> str:
    """The CSS variable of a series style, as legends use it."""
    return f"s{style % _SERIES_COLOURS + 1}"


def dashes(style: int) -> tuple[float, ...]:
    """The dash pattern of a series style, as legends use it."""
    return DASHES[style % len(DASHES)]


def thinned(line: Line) -> Line:
    """The same series with at most MOST_POINTS points: means of stretches, over their finite figures."""
    points = [(x, y) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(x) and math.isfinite(y)]
    size = math.ceil(len(points) / MOST_POINTS) or 1
    stretches = [points[i : i + size] for i in range(0, len(points), size)]
    means = [tuple(sum(column) / len(column) for column in zip(*part, strict=True)) for part in stretches]
    return Line(line.name, [m[0] for m in means], [m[1] for m in means], style=line.style)


def draw_lines(lines: Sequence[Line], x_label: str, y_label: str, *, markers: bool, key: str) -> str:
    """A line plot of `lines`. The y axis is logarithmic where the figures are positive and span 30 times.

    `key` makes the SVG's ids its own among the pictures of one page.
    """
    with mpl.rc_context({**_STYLE, "svg.hashsalt": key}):
        figure = Figure(figsize=(_WIDTH, 3.5), layout="constrained")
        axes = figure.subplots()
        for line in lines:
            shade = _VARIABLES[colour(line.style)]
            axes.plot(
                line.x,
                line.y,
                color=shade,
                linewidth=1.5,
                dashes=dashes(line.style) or (None, None),
                marker=_MARKERS[line.style % len(_MARKERS)] if markers or len(line.x) == 1 else None,
                markersize=4,
            )
            if line.low is not None and line.high is not None:
                axes.fill_between(line.x, line.low, line.high, color=shade, alpha=0.16, linewidth=0)
        drawn = [y for line in lines for y in line.y if math.isfinite(y)]
        if drawn and min(drawn) > 0 and max(drawn) / min(drawn) > 30:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
        if all(float(x).is_integer() for line in lines for x in line.x):
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        return _svg(figure)


@dataclass(frozen=True)
class Bar:
    """One row of the interval strip: a figure, the interval around it, and the single runs behind it.

    `test` are the one-sided bounds that the ruling rests on; they are drawn thick over the interval.
    """

    label: str
    value: float
    interval: tuple[float, float] | None = None
    test: tuple[float, float] | None = None
    runs: Sequence[float] = ()
    ours: bool = False


def draw_intervals(
    bars: Sequence[Bar],
    target: float,
    edge: float,
    x_label: str,
    key: str,
    *,
    higher_is_better: bool,
    percent: bool,
) -> str:
    """Intervals against the target (solid) and the margin's edge (dashed); the accepted side is tinted.

    The figures are fractions where `percent` is true, and the axis shows them in per cent.
    """
    scale = 100 if percent else 1
    ends = [target, edge]
    for bar in bars:
        ends += [bar.value, *(bar.interval or ()), *(bar.test or ()), *bar.runs]
    finite = [scale * value for value in ends if math.isfinite(value)]
    low, high = min(finite), max(finite)
    room = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    low, high = low - room, high + room
    with mpl.rc_context({**_STYLE, "svg.hashsalt": key, "axes.spines.left": False}):
        figure = Figure(figsize=(_WIDTH, 0.75 + 0.42 * len(bars)), layout="constrained")
        axes = figure.subplots()
        zone = (scale * edge, high) if higher_is_better else (low, scale * edge)
        axes.axvspan(*zone, color=_VARIABLES["zone"], linewidth=0, zorder=0)
        axes.axvline(scale * target, color=_VARIABLES["ink"], linewidth=1.3)
        axes.axvline(scale * edge, color=_VARIABLES["ink"], linewidth=1.3, dashes=(4, 3))
        for row, bar in enumerate(bars):
            shade = _VARIABLES["ours" if bar.ours else "muted"]
            for ends_of, width, cap in ((bar.interval, 1.4, 8), (bar.test, 4.0, 0)):
                if ends_of is not None:
                    span = [scale * end for end in ends_of]
                    axes.plot(span, [row, row], color=shade, linewidth=width, marker="|", markersize=cap)
            runs = [scale * value for value in bar.runs]
            axes.plot(runs, [row + 0.27] * len(runs), color=shade, linestyle="none", marker="o", markersize=3)
            axes.plot([scale * bar.value], [row], color=shade, marker="o" if bar.ours else "s", markersize=8)
        axes.set_xlim(low, high)
        axes.set_ylim(len(bars) - 0.4, -0.6)
        axes.set_yticks(range(len(bars)), [bar.label for bar in bars], color=_VARIABLES["ink"])
        axes.tick_params(axis="y", length=0)
        axes.grid(False, axis="y")
        axes.set_xlabel(x_label)
        return _svg(figure)


def _svg(figure: Any) -> str:
    buffer = io.StringIO()
    with warnings.catch_warnings():
        # The reader's fonts draw the text, so a glyph that matplotlib's own font lacks does not matter.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font", category=UserWarning)
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*|<style.*?</style>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;\"]*; ?", "", svg)
    # Several pictures share the page: group names would repeat, and nothing refers to them.
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r'(<svg [^>]*?)width="[^"]*" height="[^"]*" ', r"\1", svg, count=1)
    svg = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), svg)
    for name, sentinel in _VARIABLES.items():
        svg = svg.replace(sentinel, f"var(--{name})")
    return svg
