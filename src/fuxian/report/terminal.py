"""Tables for the terminal: verdicts, and the papers with their claims."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fuxian.paper import Paper
from fuxian.report.claim_runs import SYMBOLS, ClaimRuns
from fuxian.report.language import Say, translator, unit_of
from fuxian.report.numbers import NBSP
from fuxian.report.run_view import parse_verdict
from fuxian.report.terms import glossary

_STYLES = {"accepted": "bold green", "rejected": "bold red", "inconclusive": "bold yellow"}


def print_verdicts(
    console: Console, verdicts: Sequence[tuple[Paper, Mapping[str, Any]]], lang: str = "en"
) -> None:
    """One row per verdict: published figure, target, ours with its 95 % interval, n, verdict.

    Each verdict is what verdict.json holds. InputError when one is malformed or its claim is not the paper's.
    """
    say = translator(lang)
    table = _table(say, "verdicts_title", "claim", "published", "target", "ours", "verdict")
    reasons = []
    for paper, document in verdicts:
        ruling = parse_verdict(document, f"the verdict on a claim of {paper.id}")
        part = ClaimRuns(paper.claim(ruling.claim), [], ruling)
        cells = (_name(paper, part, say), _published(part, say), _target(part, say), _ours(part, say))
        table.add_row(*cells, _verdict(part, say))
        reasons.append(Text(f"{paper.id}/{ruling.claim}: {glossary(lang, paper.folder)(ruling.reason)}"))
    console.print(table)
    for reason in reasons:
        console.print(reason)


def print_papers(
    console: Console, papers: Sequence[Paper], verdicts: Mapping[str, Mapping[str, Any]], lang: str = "en"
) -> None:
    """Every claim of every paper with its published figure, target and last verdict.

    `verdicts` maps "paper/claim" to what the last verdict.json holds. InputError when one is malformed.
    """
    say = translator(lang)
    if not papers:
        console.print(say("no_papers"))
        return
    table = _table(say, "papers_title", "claim", "title", "published", "target", "verdict")
    for paper in papers:
        term = glossary(lang, paper.folder)
        for claim in paper.claims:
            name = f"{paper.id}/{claim.id}"
            ruling = parse_verdict(verdicts[name], f"the verdict on {name}") if name in verdicts else None
            part = ClaimRuns(claim, [], ruling)
            cells = (
                _name(paper, part, say),
                Text(term(claim.title)),
                _published(part, say),
                _target(part, say),
            )
            table.add_row(*cells, _verdict(part, say))
        table.add_section()
    console.print(table)


def _table(say: Say, title: str, *columns: str) -> Table:
    table = Table(
        title=say(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for column in columns:
        # Chinese has no spaces to break at: what is too long goes on in the next line.
        table.add_column(say(f"col_{column}"), no_wrap=column != "title", overflow="fold")
    return table


def _name(paper: Paper, part: ClaimRuns, say: Say) -> Text:
    # lines broken by hand: the table is to fit a terminal of 80 columns
    scope = f"\n({say('scope_scaled')})" if part.scaled else ""
    return Text(f"{paper.id}/\n{part.claim.id}{scope}")


def _published(part: ClaimRuns, say: Say) -> Text:
    return Text("–" if part.scaled else part.show_published(say).replace(f"{NBSP}±", "\n±"))


def _target(part: ClaimRuns, say: Say) -> Text:
    return Text(f"{part.show_target()}\n{say('margin_of', margin=part.show_margin())}")


def _ours(part: ClaimRuns, say: Say) -> Text:
    ruling = part.ruling
    n = f"{ruling.measured.n} {unit_of(ruling.measured.n, ruling.counted, say)}" if ruling else ""
    return Text(f"{part.show_ours()}\n{part.show_interval()}\n{n}")


def _verdict(part: ClaimRuns, say: Say) -> Text:
    return Text(f"{SYMBOLS[part.verdict]} {say(part.verdict)}", style=_STYLES.get(part.verdict, ""))
