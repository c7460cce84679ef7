"""What a template put where the entrant's own words belong: it would be mailed as it stands."""

from __future__ import annotations

import re

from fuxian.submission.checklist.finding import Result, counted, failed, listed, passed
from fuxian.submission.checklist.submitted_files import SubmittedFiles
from fuxian.submission.manifest import FILE_NAME, Manifest

IN_TEXTS = re.compile(
    r"(?i)github\.com/your-name|you@example\.(org|com)|example\.org/(the-paper|fill-in)|: the title of the paper"
    r"|the authors of the paper|example\.org: the repository of the reference|the task of the template"
)
"""Words of Fuxian's templates, wherever they stand."""
IN_FIELDS = re.compile(rf"{IN_TEXTS.pattern}|^fill in|^your name$|^your team$")
"""What is no name of anybody."""
TEXTS = re.compile(r"(?i)(readme[^/]*\.md|method[^/]*\.md|submission/[^/]+\.(txt|md)|reference/[^/]+\.py)")
TEMPLATE_YEAR = 1900
"""No paper's: a year that could be the paper's own would be believed."""


def placeholders(tree: SubmittedFiles) -> Result:
    """Nobody's name, address or title is still the template's."""
    left = [name for name, value in _said(tree.manifest) if IN_FIELDS.search(value)]
    if (tree.manifest.team is not None) and tree.manifest.team.number == "0":
        left.append("team.number")
    if tree.manifest.paper.venue == "venue":
        left.append("paper.venue")
    if tree.manifest.paper.year == TEMPLATE_YEAR:
        left.append("paper.year")
    if left:
        files = FILE_NAME if any(name.startswith("team") for name in left) else "paper.toml"
        return failed(
            f"still the template's: {listed(left, 16)}",
            f"write your own into {FILE_NAME} and paper.toml",
            files if files in tree.files else FILE_NAME,
        )
    for path in sorted(tree.files):
        if TEXTS.fullmatch(path):
            for number, line in enumerate(tree.text(path).splitlines(), start=1):
                if IN_TEXTS.search(line):
                    mend = "write your own, or let `fuxian package` write the file anew"
                    return failed(
                        f"still the template's: {line.strip()[:80]}",
                        "write your own" if path.startswith("reference/") else mend,
                        path,
                        number,
                    )
    return passed(f"{counted(len(_said(tree.manifest)), 'name')} and addresses are nobody's template")


def _said(manifest: Manifest) -> list[tuple[str, str]]:
    """(field, text) of all that names people, places and the paper."""
    paper, team = manifest.paper, manifest.team
    said = [("paper.title", paper.title), ("paper.url", paper.url), ("paper.venue", paper.venue)]
    said += [("paper.authors", name) for name in paper.authors]
    if paper.reference is not None:
        said.append(("paper.reference.repo", paper.reference.repo))
    for claim in (paper.claim(name) for name in manifest.claims):
        said += [(f"claim {claim.id}: title", claim.title), (f"claim {claim.id}: dataset", claim.dataset)]
        said.append((f"claim {claim.id}: notes", claim.notes))
        if claim.reference is not None:
            said.append((f"claim {claim.id}: reference.repo", claim.reference.repo))
    if team is not None:
        said += [("team.name", team.name), ("team.repo", team.repo), ("team.email", team.email)]
        said += [("team.members", name) for name in team.members]
    return said
