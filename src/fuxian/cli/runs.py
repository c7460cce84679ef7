"""``fuxian runs`` and ``fuxian compare``: what was run, and what differs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from fuxian.cli.options import AsJson, Language, LanguageOption, Runs, print_json
from fuxian.errors import InputError
from fuxian.invocation import command
from fuxian.paper import Claim

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, as `fuxian runs` lists them.")]


def runs(out: Runs = Path("runs"), lang: LanguageOption = Language.en, as_json: AsJson = False) -> None:
    """List the runs with their figures and verdicts, and write index.html beside them.

    Example: fuxian runs
    """
    from fuxian.report.language import translator
    from fuxian.report.runs_index import print_rows, read_rows, write_index

    rows = read_rows(out, _claim_of, translator(lang.value)) if out.is_dir() else []
    page = out / "index.html"
    if rows:
        write_index(rows, page, lang.value)
    if as_json:
        print_json(
            {
                "folder": str(out),
                "runs": [row.as_dict() for row in rows],
                "index": str(page) if rows else None,
            }
        )
        return
    console = Console()
    if not rows:
        first = command("reproduce", "maml/sinusoid-10shot", "--quick")
        console.print(f"There is no run in {out} yet; make one: {first}", markup=False, soft_wrap=True)
        return
    print_rows(console, rows, lang.value)
    console.print(f"Page: {page}", markup=False, soft_wrap=True)


def compare(
    first: RunFolder,
    second: RunFolder,
    page: Annotated[Path | None, typer.Option(help="Also write a page with both learning curves.")] = None,
    lang: LanguageOption = Language.en,
    as_json: AsJson = False,
) -> None:
    """Show what differs between two runs: plan, environment, last loss, measured figures; with --page the curves too.

    Example: fuxian compare runs/maml-sinusoid-10shot-1 runs/maml-sinusoid-10shot-2 --page compare.html
    """
    from fuxian.papers.find import find_claim
    from fuxian.report.differences import differences
    from fuxian.report.run_view import read_run

    views = [read_run(folder) for folder in (first, second)]
    found = differences(*views)
    if page is not None:
        from fuxian.report.run_report import write_report

        if views[0].paper != views[1].paper:
            raise InputError(
                f"{first} is a run of {views[0].paper} and {second} of {views[1].paper}: their curves share no page;"
                " leave --page out."
            )
        paper = find_claim(_named(views[0].config or {}))[0].paper
        parts = [part for folder in (first, second) for part in (folder, *sorted(folder.glob("seed_*")))]
        write_report(parts, page, lang.value, paper)
    if as_json:
        print_json(
            {
                "runs": [str(first), str(second)],
                "differences": [asdict(one) for one in found],
                "page": str(page) if page else None,
            }
        )
        return
    console = Console()
    if found:
        table = Table(
            "", Column(Text(views[0].name), overflow="fold"), Column(Text(views[1].name), overflow="fold")
        )
        for one in found:
            table.add_row(Text(one.where), Text(one.first or "–"), Text(one.second or "–"))
        console.print(table)
    else:
        console.print("Nothing differs.")
    if page is not None:
        console.print(f"Page: {page}", markup=False, soft_wrap=True)


def _named(config: dict[str, Any]) -> str:
    return f"{config.get('folder') or config.get('paper')}/{config.get('claim')}"


def _claim_of(config: dict[str, Any]) -> Claim | None:
    from fuxian.papers.find import find_claim

    try:
        return find_claim(_named(config))[1]
    except InputError:
        return None
