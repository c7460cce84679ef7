"""The HTML report of a reproduction: one page that needs nothing else, from the run folders of one paper."""

import base64
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
from fuxian.report.claim_section import headline, interval_picture, ruled_otherwise, sentences
from fuxian.report.curve_section import learning_curves, named_curves
from fuxian.report.language import Say, translator, unit_of
from fuxian.report.numbers import (
    NBSP,
    format_bytes,
    format_figure,
    format_seconds,
)
from fuxian.report.run_view import RunView, flat, read_run
from fuxian.report.terms import Term, glossary

MOST_PICTURES = 12
LARGEST_PICTURE = 600_000
"""Bytes of one picture that is put into the page."""


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
    term = glossary(lang, paper.folder)

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
        claims=[_claim(part, say, term) for part in parts],
        beside=_beside(parts, say, term),
        pictures=_pictures(runs),
        sections=[
            _measurements_section(runs, parts, say, term),
            *_throughput_section(runs, say),
            _settings_section("environment", runs, lambda run: run.environment, say),
            _settings_section("configuration", runs, lambda run: run.config, say),
        ],
        commands=_commands(runs, out, say),
        evidence=_evidence(runs, out, say),
        version=fuxian.__version__,
    )
    out.write_text(page, encoding="utf-8")


def _claim(part: ClaimRuns, say: Say, term: Term) -> dict[str, Any]:
    claim, ruling = part.claim, part.ruling
    learning, notes = learning_curves(part, say, term)
    interval = interval_picture(part, say, term)
    named = named_curves(part, say, term)
    first = interval or next(iter([*learning, *(picture for picture, _ in named)]), None)
    return {
        "title": term(claim.title),
        "description": f"{term(claim.metric)} · {term(claim.dataset)} · {term(claim.split)}",
        "verdict": part.verdict,
        "symbol": SYMBOLS[part.verdict],
        "ours": part.show_ours(),
        "interval": part.show_interval() if ruling and ruling.measured.interval else "",
        "target": part.show_target(),
        "margin": part.show_margin(),
        "headline": headline(part, say),
        "sentences": sentences(part, say, term),
        "tested": say("tested", reason=term(ruling.reason), method=term(ruling.method)) if ruling else "",
        "warnings": ruled_otherwise(part, say),
        "first": first,
        "learning": [picture for picture in learning if picture is not first],
        "notes": notes,
        "named": [(None if picture is first else picture, numbers) for picture, numbers in named],
    }


def _pictures(runs: list[RunView]) -> list[tuple[str, str]]:
    """What the runs' folders ``pictures/`` hold to look at: (name, data URL), those that are small enough."""
    found = []
    for file in sorted(file for run in runs for file in (run.folder / "pictures").glob("*.png")):
        if file.is_file() and file.stat().st_size <= LARGEST_PICTURE:
            shown = base64.b64encode(file.read_bytes()).decode()
            found.append((file.stem.replace("_", " "), f"data:image/png;base64,{shown}"))
    return found[:MOST_PICTURES]


def _beside(parts: list[ClaimRuns], say: Say, term: Term) -> Table:
    # What a narrow screen shows first is what is looked for first.
    columns = ("claim", "ours", "verdict", "interval", "target", "margin", "published", "n", "scope")
    rows = []
    for part in parts:
        ruling = part.ruling
        n = (
            "–"
            if ruling is None
            else f"{ruling.measured.n} {unit_of(ruling.measured.n, ruling.counted, say)}"
        )
        direction = say(f"{part.claim.direction}_better")
        rows.append(
            (
                f"{part.claim.id}: {term(part.claim.metric)} ({direction})",
                part.show_ours(),
                f"{SYMBOLS[part.verdict]}{NBSP}{say(part.verdict)}",
                part.show_interval(),
                part.show_target(),
                part.show_margin(),
                part.show_published(say),
                n,
                say("scope_scaled" if part.scaled else "scope_paper"),
            )
        )
    return Table(say("beside_caption"), [say(f"col_{name}") for name in columns], rows)


def _measurements_section(
    runs: list[RunView], parts: list[ClaimRuns], say: Say, term: Term
) -> dict[str, Any]:
    rows, extra = [], []
    for part in parts:
        for run, seed, value in part.measured_runs:
            shown = say("run_failed") if value is None else part.show(value, part.claim.margin)
            rows.append((f"{part.claim.id}: {term(part.claim.metric)}", seed, shown, run.name))
        for run, measurements in part.measurements:
            extra += [
                (term(name), format_figure(value), run.name) for name, value in measurements.figures.items()
            ]
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
        "notes": [] if rows else [say("no_measurements")],
    }


def _throughput_section(runs: list[RunView], say: Say) -> list[dict[str, Any]]:
    """The section, and none where nothing was trained."""
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
    if rows:
        tables, notes = [Table(say("throughput_caption"), heads, rows)], []
    elif any(run.is_training for run in runs):
        tables, notes = [], [say("no_throughput")]
    else:
        return []
    return [{"id": "throughput", "tables": tables, "notes": notes}]


def _settings_section(
    id: str, runs: list[RunView], pick: Callable[[RunView], dict[str, Any] | None], say: Say
) -> dict[str, Any]:
    """One table of what all runs share and, where runs differ, one of what sets them apart."""
    found = [(run.name, flat(settings)) for run in runs if (settings := pick(run)) is not None]
    names, values = [name for name, _ in found], [one for _, one in found]
    keys = dict.fromkeys(key for one in values for key in one)
    rows = {key: [one.get(key, "–") for one in values] for key in keys}
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


def _commands(runs: list[RunView], out: Path, say: Say) -> list[tuple[str, str]]:
    """What to type to get to this page again: (sentence, command) pairs."""
    commands = [
        (say("again_commit"), shlex.join(["git", "checkout", commit.removesuffix("+changes")]))
        for commit in dict.fromkeys(filter(None, map(_commit, runs)))
    ]
    recorded = dict.fromkeys(filter(None, (_recorded_command(run) for run in runs)))
    commands += [(say("again_command"), command) for command in recorded]
    claims = dict.fromkeys(_named(run) for run in runs)
    trained = [shlex.join(["fuxian", "reproduce", claim]) for claim in claims]
    commands += [(say("again_train"), command) for command in trained if command not in recorded]
    scalars = [run.folder / "vdl" for run in runs if (run.folder / "vdl").is_dir()]
    if scalars:
        logs = [_from_here(folder) for folder in scalars]
        commands.append((say("again_curves"), shlex.join(["visualdl", "--logdir", *logs])))
    if events := [run.folder / "tb" for run in runs if (run.folder / "tb").is_dir()]:
        logs = [_from_here(folder) for folder in events]
        # TensorBoard takes one folder, or several names with theirs.
        named = ["--logdir", *logs] if len(logs) == 1 else ["--logdir_spec", ",".join(logs)]
        commands.append((say("again_tensorboard"), shlex.join(["tensorboard", *named])))
    return commands


def _named(run: RunView) -> str:
    """How a command names the run's claim: by the paper's id, or by its folder where it is the user's own."""
    folder = (run.config or {}).get("folder")
    return f"{folder if isinstance(folder, str) else run.paper}/{run.claim}"


def _from_here(path: Path) -> str:
    """A path as it is typed where this page was made: relative below there, else whole."""
    whole = path.resolve()
    return str(whole.relative_to(Path.cwd())) if whole.is_relative_to(Path.cwd()) else str(whole)


def _commit(run: RunView) -> str | None:
    """The git commit among a run's environment, whatever it is nested in."""
    said = flat(run.environment or {})
    return next((value for key, value in said.items() if key.endswith("commit") and value != "null"), None)


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
            "tb",
        ):
            path = run.folder / name
            where = _relative(path, out)
            if not path.exists() and name not in _expected(run, runs):
                continue
            if path.exists():
                size = format_bytes(path.stat().st_size) if path.is_file() else "–"
                link = Markup('<a href="{}"><code>{}</code></a>').format(quote(where), where)
            else:
                size, link = say("missing"), Markup("<code>{}</code>").format(where)
            rows.append((link, say(f"what_{Path(name).stem}"), size))
    heads = [say("col_file"), say("col_what"), say("col_size")]
    return Table(say("evidence_caption"), heads, rows, "words")


def _expected(run: RunView, runs: list[RunView]) -> set[str]:
    """The files without which a run's folder is not whole."""
    ruled = {"config.json", "environment.json", "measurements.json", "verdict.json"}
    trained = {"config.json", "environment.json", "log.jsonl", "checkpoints", "vdl"}
    if not run.is_training:
        return ruled
    shipped = any("weights" in (other.config or {}) for other in runs)
    if shipped:
        return {"config.json", "log.jsonl"}
    is_part = any(other.folder.resolve() == run.folder.resolve().parent for other in runs)
    return trained if is_part else trained | ruled


def _relative(path: Path, out: Path) -> str:
    """`path` as seen from the report, so that links hold wherever the folder is moved to."""
    return Path(os.path.relpath(path, out.parent)).as_posix()
