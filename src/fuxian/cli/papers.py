"""``fuxian papers``: what is reproduced, its claims, targets and last verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fuxian.cli.options import AsJson, Language, LanguageOption, Runs, complete_claim, print_json
from fuxian.errors import InputError

Card = Annotated[
    str | None,
    typer.Argument(
        metavar="PAPER/CLAIM",
        help="Show this model's card; all papers if absent.",
        autocompletion=complete_claim,
    ),
]


def papers(
    name: Card = None,
    out: Runs = Path("runs"),
    lang: LanguageOption = Language.en,
    as_json: AsJson = False,
) -> None:
    """Every reproduced paper with its claims, their targets and the newest verdicts.

    With PAPER/CLAIM, the card of that model. The verdicts are those of the runs folder, and where nothing there ruled
    on a claim, the one that Fuxian's own weights got.

    Example: fuxian papers
    """
    from fuxian.papers.find import reproduced_papers
    from fuxian.papers.verdict_file import last_verdicts
    from fuxian.report.terminal import print_papers
    from fuxian.report.terms import glossary

    if name is not None:
        _card(name, as_json)
        return
    folders = reproduced_papers()
    known = [folder.paper for folder in folders]
    verdicts = last_verdicts(out, known)
    if not as_json:
        print_papers(Console(), known, verdicts, lang.value)
        return
    print_json(
        {
            "papers": [
                {
                    "id": paper.id,
                    "title": paper.title,
                    "url": paper.url,
                    "absent": folder.absent,
                    "claims": [
                        {
                            "claim": claim.id,
                            "title": glossary(lang.value, paper.folder)(claim.title),
                            "scope": claim.scope,
                            "published": claim.published.value if claim.published else None,
                            "target": claim.to_reach,
                            "target_from": "paper.toml" if claim.target is not None else "reference runs",
                            "margin": claim.margin,
                            "last_verdict": verdicts.get(f"{paper.id}/{claim.id}", {}).get("verdict"),
                            "measured": verdicts.get(f"{paper.id}/{claim.id}", {}).get("measured"),
                        }
                        for claim in paper.claims
                    ],
                }
                for folder, paper in zip(folders, known, strict=True)
            ]
        }
    )


def _card(name: str, as_json: bool) -> None:
    from fuxian.papers.card import model_card
    from fuxian.papers.find import find_claim

    folder, claim = find_claim(name)
    try:
        weights = folder.weights(claim.id)
    except InputError:
        weights = None
    card = model_card(folder, claim, weights)
    if as_json:
        print_json({"paper": folder.paper.id, "claim": claim.id, "weights": weights, "card": card})
    else:
        typer.echo(card, nl=False)
