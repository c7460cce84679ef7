"""Every run of a runs folder at a glance: for the terminal, and as the page ``index.html`` beside the runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

import fuxian
from fuxian.errors import InputError
from fuxian.paper import Claim
from fuxian.report.claim_runs import SYMBOLS, ClaimRuns
from fuxian.report.language import Say, translator
from fuxian.report.run_view import parse_verdict, read_json

REPORTS = ("report.html", "report_zh.html")
FIND = Callable[[dict[str, Any]], Claim | None]
"""The claim that a run's config.json names; None where it is not there any more."""


@dataclass(frozen=True)
class RunRow:
    """One run folder."""

    run: str
    """The folder's name."""
    claim: str
    """``paper/claim``."""
    verdict: str
    """accepted, rejected, inconclusive, smoke, changed, or no_verdict."""
    figure: str
    """Ours as people read it, with its interval; empty where nothing is measured yet."""
    state: str
    """Of a training without a verdict: how far it got."""
    when: str
    """Of the last thing that was written, local time."""
    report: str | None
    """The report's path below the runs folder."""
    quick: bool

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def read_rows(runs: Path, find: FIND, say: Say) -> list[RunRow]:
    """Every run under ``runs``, the newest first. A folder without a readable config.json is no run."""
    rows = []
    for file in runs.glob("*/config.json"):
        try:
            config = read_json(file)
        except InputError:
            continue
        if config and {"paper", "claim"} <= config.keys():
            rows.append((file.parent.stat().st_mtime, _row(file.parent, config, find, say)))
    return [row for _, row in sorted(rows, key=lambda pair: (-pair[0], pair[1].run))]


def _row(folder: Path, config: dict[str, Any], find: FIND, say: Say) -> RunRow:
    verdict, figure, state = "no_verdict", "", ""
    try:
        document = read_json(folder / "verdict.json")
        claim = find(config)
        if document is not None and claim is not None:
            ruling = parse_verdict(document, str(folder / "verdict.json"))
            part = ClaimRuns(claim, [], ruling)
            verdict = ruling.verdict
            figure = f"{part.show_ours()} {part.show_interval() if ruling.measured.interval else ''}".strip()
    except InputError:
        state = say("run_unreadable")
    if verdict == "no_verdict" and not state:
        state = _reached(folder, config, say)
    report = next((name for name in REPORTS if (folder / name).is_file()), None)
    newest = max((path.stat().st_mtime for path in folder.iterdir()), default=folder.stat().st_mtime)
    return RunRow(
        run=folder.name,
        claim=f"{config['paper']}/{config['claim']}",
        verdict=verdict,
        figure=figure,
        state=state,
        when=time.strftime("%Y-%m-%d %H:%M", time.localtime(newest)),
        report=f"{folder.name}/{report}" if report else None,
        quick=bool(config.get("quick")),
    )


def _reached(folder: Path, config: dict[str, Any], say: Say) -> str:
    """How far the trainings of all seeds are, in steps together."""
    seeds, whole = config.get("seeds"), config.get("iterations")
    if "weights" in config or not isinstance(whole, int) or not isinstance(seeds, list):
        return say("run_unfinished")
    done = 0
    for place in [folder, *folder.glob("seed_*")]:
        steps = [one.name[5:] for one in place.glob("checkpoints/step_*")]
        done += max((int(step) for step in steps if step.isdigit()), default=0)
    return say("run_reached", step=f"{done:,}", whole=f"{whole * len(seeds):,}")


def print_rows(console: Console, rows: list[RunRow], lang: str) -> None:
    """A line for each run."""
    say = translator(lang)
    names = ("run", "ours", "verdict", "when")
    # A run's name is to be copied: it stays in one line, with the claim below it.
    heads = (
        Column(say(f"col_{name}"), overflow="fold", no_wrap=name in ("run", "verdict")) for name in names
    )
    table = Table(*heads, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        verdict = f"{SYMBOLS[row.verdict]} {say(row.verdict)}"
        table.add_row(*map(Text, (f"{row.run}\n{row.claim}", row.figure or row.state, verdict, row.when)))
    console.print(table)


def write_index(rows: list[RunRow], out: Path, lang: str) -> None:
    """The page: each run with its verdict and a link to its report. It needs nothing else."""
    environment = Environment(
        loader=PackageLoader("fuxian.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = files("fuxian.report").joinpath("templates", "style.css").read_text(encoding="utf-8")
    page = environment.get_template("runs_index.html").render(
        say=translator(lang),
        rows=rows,
        symbols=SYMBOLS,
        link=quote,
        style=Markup(style),  # noqa: S704 - our own file
        version=fuxian.__version__,
    )
    out.write_text(page, encoding="utf-8")
