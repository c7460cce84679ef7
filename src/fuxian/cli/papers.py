"""``fuxian papers``: what is reproduced, its claims, targets and last verdicts."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from fuxian.cli.options import AsJson, Language, LanguageOption, Runs, print_json


def papers(out: Runs = Path("runs"), lang: LanguageOption = Language.en, as_json: AsJson = False) -> None:
    """Every reproduced paper with its claims, their targets and the newest verdicts in the runs folder.

    Example: fuxian papers
    """
    from fuxian.papers.find import reproduced_papers
    from fuxian.papers.verdict_file import last_verdicts
    from fuxian.report.terminal import print_papers

    folders, verdicts = reproduced_papers(), last_verdicts(out)
    known = [folder.paper for folder in folders]
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
                            "title": claim.title,
                            "scope": claim.scope,
                            "published": claim.published.value if claim.published else None,
                            "target": claim.target,
                            "margin": claim.margin,
                            "last_verdict": verdicts.get(f"{paper.id}/{claim.id}", {}).get("verdict"),
                        }
                        for claim in paper.claims
                    ],
                }
                for folder, paper in zip(folders, known, strict=True)
            ]
        }
    )
