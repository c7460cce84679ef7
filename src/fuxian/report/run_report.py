"""The HTML report of a reproduction: one page that needs nothing else, from the run folders of one paper."""

import json
import math
import os
import shlex
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import fuxian
from fuxian.errors import InputError
from fuxian.paper import Paper
from fuxian.report import figures
from fuxian.report.claim_section import (
    SYMBOLS,
    ClaimRuns,
    Key,
    Picture,
    group_claims,
    interval_picture,
    reason,
    ruled_otherwise,
    sentences,
)
from fuxian.report.language import Say, translator
from fuxian.report.numbers import (
    NBSP,
    format_bytes,
    format_figure,
    format_interval,
    format_seconds,
    half_width,
)
from fuxian.report.run_view import LogLine, RunView, Series, read_run

_MOST_ROWS = 30
"""A plotted curve's numbers are also given as a table where it has at most this many points."""

Table = dict[str, Any]


def write_report(run_folders: Sequence[Path], out: Path, lang: str, paper: Paper) -> None:
    """Writes the report of these runs of `paper` to the file `out`, in English ("en") or Chinese ("zh").

    The page holds its style and pictures and asks nothing of the network. A file that a run folder lacks
    leaves its section out, with a sentence. InputError: no folder given, a folder that is not a run of this
    paper, a malformed file, an unknown language.
    """
    say = translator(lang)
    if not run_folders:
        raise InputError("There is no run to report on; give at least one run folder.")
    runs = [read_run(folder) for folder in run_folders]
    for run in runs:
        if run.paper != paper.id:
            raise InputError(
                f"{run.folder} is a run of {run.paper!r}, not of {paper.id!r}; report on them apart."
            )
    parts = group_claims(runs, paper.claim)

    environment = Environment(
        loader=PackageLoader("fuxian.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("run_report.html").render(
        say=say,
        lang=lang,
        paper=paper,
        style=Markup(files("fuxian.report").joinpath("templates", "style.css").read_text(encoding="utf-8")),  # noqa: S704
        claims=[_claim(part, say) for part in parts],
        beside=_beside(parts, say),
        sections=[
            _measurements_section(runs, parts, say),
            _throughput_section(runs, say),
            _settings_section("environment", runs, lambda run: run.environment, say),
            _settings_section("configuration", runs, lambda run: run.config, say),
        ],
        commands=_commands(runs, out, say),
        evidence=_evidence(runs, out, say),
        version=fuxian.__version__,
    )
    out.write_text(page, encoding="utf-8")


def _claim(part: ClaimRuns, say: Say) -> dict[str, Any]:
    claim = part.claim
    return {
        "title": claim.title,
        "description": f"{claim.dataset} · {claim.split}",
        "verdict": part.verdict,
        "symbol": SYMBOLS[part.verdict],
        "sentences": sentences(part, say),
        "reason": reason(part.ruling, say),
        "warnings": ruled_otherwise(part, say),
        "interval": interval_picture(part, say),
        **_learning_curves(part, say),
        "named": _named_curves(part, say),
    }


def _beside(parts: list[ClaimRuns], say: Say) -> Table:
    columns = ("claim", "published", "target", "margin", "ours", "interval", "n", "scope", "verdict")
    rows = []
    for part in parts:
        ruling = part.ruling
        n = "–" if ruling is None else f"{ruling.measured.n} {say(f'counted_{ruling.counted}')}"
        direction = say(f"{part.claim.direction}_better")
        rows.append(
            (
                f"{part.claim.id}: {part.claim.metric} ({direction})",
                part.show_published(say),
                part.show_target(),
                part.show_margin(),
                part.show_ours(),
                part.show_interval(),
                n,
                say("scope_scaled" if part.scaled else "scope_paper"),
                f"{SYMBOLS[part.verdict]}{NBSP}{say(part.verdict)}",
            )
        )
    return _table(say("beside_caption"), [say(f"col_{name}") for name in columns], rows)


def _learning_curves(part: ClaimRuns, say: Say) -> dict[str, Any]:
    """The pictures of what was logged, every run in each, and notes on what a reader should know of them."""
    notes = []
    lines: dict[str, list[figures.Line]] = {}
    for style, run in enumerate(part.runs):
        if not run.log:
            notes.append(f"{run.name}: {say('no_log' if run.log is None else 'empty_log')}")
            continue
        broken = next((e.step for e in run.log if e.loss is not None and not math.isfinite(e.loss)), None)
        if broken is not None:
            notes.append(say("not_finite", run=run.name, step=broken))
        for name, points in _logged(run.log).items():
            line = figures.Line(_label(run, say), [x for x, _ in points], [y for _, y in points], style=style)
            lines.setdefault(name, []).append(line)
    if any(len(line.x) > figures.MOST_POINTS for group in lines.values() for line in group):
        notes.append(say("thinned", count=figures.MOST_POINTS))
    pictures = []
    for name, group in lines.items():
        title = say("eval_figure", name=name) if name else say("loss_figure")
        thin = [figures.thinned(line) for line in group]
        pictures.append(_line_picture(title, thin, say("step"), name or say("loss"), say, markers=False))
    return {"learning": [picture for picture in pictures if picture], "notes": notes}


def _logged(log: list[LogLine]) -> dict[str, list[tuple[float, float]]]:
    """(step, figure) pairs of every evaluated figure by its name, and of the loss under the empty name."""
    series: dict[str, list[tuple[float, float]]] = {}
    for entry in log:
        if entry.loss is not None:
            series.setdefault("", []).append((entry.step, entry.loss))
        for name, value in (entry.eval or {}).items():
            series.setdefault(name, []).append((entry.step, value))
    return series


def _named_curves(part: ClaimRuns, say: Say) -> list[dict[str, Any]]:
    """Curves of measurements.json, those with the same axes in one picture, each with its numbers."""
    with_curves = [(run, found.curves) for run, found in part.measurements if found.curves]
    groups: dict[tuple[str, str], dict[str, Series]] = {}
    for run, curves in with_curves:
        for name, series in curves.items():
            label = name if len(with_curves) == 1 else f"{name} ({_label(run, say)})"
            groups.setdefault((series.x_label, series.y_label), {})[label] = series
    found = []
    for (x_label, y_label), together in groups.items():
        lines = [
            figures.Line(name, one.x, one.y, one.low, one.high, style)
            for style, (name, one) in enumerate(together.items())
        ]
        title = say("named_figure", x=x_label, y=y_label)
        picture = _line_picture(title, lines, x_label, y_label, say, markers=True)
        if picture:
            found.append({"picture": picture, "table": _curve_table(title, x_label, together, say)})
    return found


def _curve_table(title: str, x_label: str, curves: dict[str, Series], say: Say) -> Table | None:
    xs = sorted({x for one in curves.values() for x in one.x})
    if len(xs) > _MOST_ROWS:
        return None
    columns = [dict(zip(one.x, _curve_cells(one), strict=True)) for one in curves.values()]
    rows = [(f"{x:g}", *(column.get(x, "–") for column in columns)) for x in xs]
    return _table(say("numbers_of", title=title), [x_label, *curves], rows)


def _curve_cells(series: Series) -> list[str]:
    if series.low is None or series.high is None:
        return [format_figure(y) for y in series.y]
    return [
        f"{format_figure(y, half_width(band))} {format_interval(band)}"
        for y, band in zip(series.y, zip(series.low, series.high, strict=True), strict=True)
    ]


def _line_picture(
    title: str, lines: list[figures.Line], x_label: str, y_label: str, say: Say, *, markers: bool
) -> Picture | None:
    lines = [line for line in lines if any(math.isfinite(y) for y in line.y)]
    if not lines:
        return None
    last = "; ".join(f"{line.name} {format_figure(line.y[-1])}" for line in lines)
    alt = say("curve_alt", x=x_label, y=y_label, names=", ".join(line.name for line in lines), last=last)
    svg = figures.draw_lines(lines, x_label, y_label, markers=markers, key=title)
    legend = [Key(line.name, figures.colour(line.style), dashes=figures.dashes(line.style)) for line in lines]
    return Picture(title, alt, svg, legend)


def _measurements_section(runs: list[RunView], parts: list[ClaimRuns], say: Say) -> dict[str, Any]:
    rows, extra = [], []
    for part in parts:
        for run, seed, value in part.measured_runs:
            shown = say("run_failed") if value is None else part.show(value, part.claim.margin)
            rows.append((f"{part.claim.id}: {part.claim.metric}", seed, shown, run.name))
        for run, measurements in part.measurements:
            extra += [(name, format_figure(value), run.name) for name, value in measurements.figures.items()]
    tables = []
    if rows:
        heads = [say("col_claim"), say("col_seed"), say("col_ours"), say("col_run")]
        tables.append(_table(say("runs_caption"), heads, rows))
    if extra:
        heads = [say("col_figure"), say("col_value"), say("col_run")]
        tables.append(_table(say("figures_caption"), heads, extra))
    return {
        "id": "runs",
        "tables": tables,
        "notes": _missing(runs, lambda run: run.measurements, say, "no_measurements"),
    }


def _throughput_section(runs: list[RunView], say: Say) -> dict[str, Any]:
    rows = []
    for run in runs:
        timed = [e for e in run.log or [] if e.batch_cost]
        if timed:
            speeds = [e.ips for e in timed if e.ips is not None]
            waited = sum(e.reader_cost or 0.0 for e in timed) / sum(e.batch_cost or 0.0 for e in timed)
            rows.append(
                (
                    run.name,
                    f"{timed[-1].step:,}",
                    format_figure(median(speeds)) if speeds else "–",
                    format_seconds(median(e.batch_cost or 0.0 for e in timed)),
                    f"{100 * waited:.1f} %",
                )
            )
    heads = [say(f"col_{name}") for name in ("run", "steps", "ips", "batch_cost", "reader_share")]
    return {
        "id": "throughput",
        "tables": [_table(say("throughput_caption"), heads, rows)] if rows else [],
        "notes": [] if rows else [say("no_throughput")],
    }


def _settings_section(
    id: str, runs: list[RunView], pick: Callable[[RunView], dict[str, Any] | None], say: Say
) -> dict[str, Any]:
    """One table of what all runs share and, where runs differ, one of what sets them apart."""
    settings = {run.name: _flat(found) for run in runs if (found := pick(run)) is not None}
    keys = list(dict.fromkeys(key for one in settings.values() for key in one))
    shared = [key for key in keys if len({one.get(key) for one in settings.values()}) == 1]
    apart = [key for key in keys if key not in shared]
    first: dict[str, str] = next(iter(settings.values()), {})
    caption = say(f"{id}_caption")
    tables = []
    if shared:
        heads = [say("col_key"), say("col_value")]
        tables.append(_table(caption, heads, [(key, first[key]) for key in shared], "words"))
    if apart:
        rows = [(key, *(one.get(key, "–") for one in settings.values())) for key in apart]
        tables.append(
            _table(say("apart_caption", caption=caption), [say("col_key"), *settings], rows, "words")
        )
    return {"id": id, "tables": tables, "notes": _missing(runs, pick, say, f"no_{id}")}


def _missing(runs: list[RunView], pick: Callable[[RunView], Any], say: Say, key: str) -> list[str]:
    return [f"{run.name}: {say(key)}" for run in runs if pick(run) is None]


def _flat(data: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as `outer.inner` -> text."""
    flat: dict[str, str] = {}
    for key, value in data.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = (
                value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            )
    return flat


def _commands(runs: list[RunView], out: Path, say: Say) -> list[tuple[str, str]]:
    """What to type to get to this page again: (sentence, command) pairs."""
    commands = [
        (say("again_commit"), shlex.join(["git", "checkout", commit]))
        for commit in dict.fromkeys(filter(None, map(_commit, runs)))
    ]
    claims = dict.fromkeys(f"{run.paper}/{run.claim}" for run in runs)
    commands += [(say("again_train"), shlex.join(["fuxian", "reproduce", claim])) for claim in claims]
    recorded = dict.fromkeys(filter(None, (_recorded_command(run) for run in runs)))
    commands += [(say("again_command"), command) for command in recorded]
    if any((run.folder / "vdl").is_dir() for run in runs):
        logs = ",".join(_relative(run.folder / "vdl", out) for run in runs if (run.folder / "vdl").is_dir())
        commands.append((say("again_curves"), shlex.join(["visualdl", "--logdir", logs])))
    return commands


def _commit(run: RunView) -> str | None:
    """The git commit among a run's environment, whatever it is nested in."""
    flat = _flat(run.environment or {})
    return next((value for key, value in flat.items() if key.endswith("commit") and value != "null"), None)


def _recorded_command(run: RunView) -> str | None:
    command = (run.config or {}).get("command")
    if isinstance(command, list):
        return shlex.join(str(word) for word in command)
    return command if isinstance(command, str) else None


def _evidence(runs: list[RunView], out: Path, say: Say) -> Table:
    rows = []
    for run in runs:
        for name in (
            "config.json",
            "environment.json",
            "log.jsonl",
            "measurements.json",
            "verdict.json",
            "checkpoints",
            "vdl",
        ):
            path = run.folder / name
            where = _relative(path, out)
            if path.exists():
                size = format_bytes(path.stat().st_size) if path.is_file() else "–"
                link = Markup('<a href="{}"><code>{}</code></a>').format(quote(where), where)
            else:
                size, link = say("missing"), Markup("<code>{}</code>").format(where)
            rows.append((link, say(f"what_{Path(name).stem}"), size))
    heads = [say("col_file"), say("col_what"), say("col_size")]
    return _table(say("evidence_caption"), heads, rows, "words")


def _relative(path: Path, out: Path) -> str:
    """`path` as seen from the report, so that links hold wherever the folder is moved to."""
    return Path(os.path.relpath(path, out.parent)).as_posix()


def _label(run: RunView, say: Say) -> str:
    return run.name if run.seed is None else say("seed_name", seed=run.seed)


def _table(
    caption: str, heads: Sequence[str], rows: Sequence[tuple[Any, ...]], kind: str = "numbers"
) -> Table:
    """A table for the template; `kind` "words" lets its cells wrap anywhere."""
    return {"caption": caption, "heads": list(heads), "rows": list(rows), "kind": kind}
