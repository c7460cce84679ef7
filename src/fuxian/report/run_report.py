"""The HTML report of a reproduction: one page that needs nothing else, from the run folders of one paper."""

import json
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
from fuxian.report.blocks import Table
from fuxian.report.claim_runs import SYMBOLS, ClaimRuns, group_claims
from fuxian.report.claim_section import interval_picture, ruled_otherwise, sentences
from fuxian.report.curve_section import learning_curves, named_curves
from fuxian.report.language import Say, translator
from fuxian.report.numbers import (
    NBSP,
    format_bytes,
    format_figure,
    format_seconds,
)
from fuxian.report.run_view import RunView, read_run


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
    learning, notes = learning_curves(part, say)
    return {
        "title": claim.title,
        "description": f"{claim.dataset} · {claim.split}",
        "verdict": part.verdict,
        "symbol": SYMBOLS[part.verdict],
        "sentences": sentences(part, say),
        "ruling": part.ruling,
        "warnings": ruled_otherwise(part, say),
        "interval": interval_picture(part, say),
        "learning": learning,
        "notes": notes,
        "named": named_curves(part, say),
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
    return Table(say("beside_caption"), [say(f"col_{name}") for name in columns], rows)


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
        tables.append(Table(say("runs_caption"), heads, rows))
    if extra:
        heads = [say("col_figure"), say("col_value"), say("col_run")]
        tables.append(Table(say("figures_caption"), heads, extra))
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
        "tables": [Table(say("throughput_caption"), heads, rows)] if rows else [],
        "notes": [] if rows else [say("no_throughput")],
    }


def _settings_section(
    id: str, runs: list[RunView], pick: Callable[[RunView], dict[str, Any] | None], say: Say
) -> dict[str, Any]:
    """One table of what all runs share and, where runs differ, one of what sets them apart."""
    found = [(run.name, _flat(settings)) for run in runs if (settings := pick(run)) is not None]
    names, values = [name for name, _ in found], [flat for _, flat in found]
    keys = dict.fromkeys(key for flat in values for key in flat)
    rows = {key: [flat.get(key, "–") for flat in values] for key in keys}
    shared = [(key, row[0]) for key, row in rows.items() if len(set(row)) == 1]
    apart = [(key, *row) for key, row in rows.items() if len(set(row)) > 1]
    caption = say(f"{id}_caption")
    tables = []
    if shared:
        tables.append(Table(caption, [say("col_key"), say("col_value")], shared, "words"))
    if apart:
        heads = [say("col_key"), *names]
        tables.append(Table(say("apart_caption", caption=caption), heads, apart, "words"))
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
    return Table(say("evidence_caption"), heads, rows, "words")


def _relative(path: Path, out: Path) -> str:
    """`path` as seen from the report, so that links hold wherever the folder is moved to."""
    return Path(os.path.relpath(path, out.parent)).as_posix()
