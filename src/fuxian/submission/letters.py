"""The texts that go with a submission: thread reply, the two mails, the system report; Chinese and English."""

from __future__ import annotations

import shlex
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from fuxian.report.terms import glossary
from fuxian.submission.manifest import Manifest, Team
from fuxian.submission.readme import method, structure
from fuxian.submission.results import Result, environment_lines, reference_figure, results_table
from fuxian.submission.templates import OFFICIAL, render

FOLDER = "submission"
"""Where the texts lie in the package."""


def write_letters(manifest: Manifest, results: list[Result]) -> list[str]:
    """Writes every text into ``submission/``; the paths written."""
    folder = manifest.folder / FOLDER
    folder.mkdir(exist_ok=True)
    values = _values(manifest, results)
    written = []
    # A mail on the reference's predictions has something to say once there are some.
    about_reference = _both("mail_reference_{}.txt")
    for template in about_reference:
        (folder / template).unlink(missing_ok=True)
    for template in ("thread_reply.txt", *(about_reference if values["reference_figure"] else ()),
                     *_both("mail_submission_{}.txt"), *_both("system_report_{}.md")):  # fmt: skip
        text = render(f"{OFFICIAL.name}/{template}.j2", **values)
        (folder / template).write_text(text, encoding="utf-8")
        written.append(f"{FOLDER}/{template}")
    return written


def _both(name: str) -> tuple[str, str]:
    return name.format("zh"), name.format("en")


def _values(manifest: Manifest, results: list[Result]) -> dict[str, Any]:
    team = manifest.team or Team(name="(team)")
    one_line = {
        name: " ".join(value.split())
        if isinstance(value, str)
        else tuple(" ".join(part.split()) for part in value)
        for name, value in team.model_dump().items()
    }
    environment = "\n".join(environment_lines(results, manifest.environment.python))
    return {
        "paper": manifest.paper,
        "team": one_line,
        "claims": [manifest.paper.claim(name) for name in manifest.claims],
        "results_zh": results_table(results, "zh"),
        "results_en": results_table(results, "en"),
        "environment_zh": environment,
        "environment_en": environment,
        "structure_en": structure(manifest, "en"),
        "structure_zh": structure(manifest, "zh"),
        "method_en": method(manifest, "en"),
        "method_zh": method(manifest, "zh"),
        "term": glossary("zh", manifest.paper.folder),
        "packages": _packages(manifest),
        "reference_command": "; ".join(dict.fromkeys(_reference_commands(manifest, results))),
        "reference_figure": "; ".join(
            f"{r.claim.metric} {figure}" for r in results if (figure := reference_figure(r, "en")) is not None
        ),
    }


def _reference_commands(manifest: Manifest, results: list[Result]) -> list[str]:
    """What gave the reference's figures: the manifest's command, else that of the recorded runs."""
    if manifest.reference is not None:
        return [shlex.join(manifest.reference.run)]
    return [one.claim.reference.command for one in results if one.claim.reference is not None]


def _packages(manifest: Manifest) -> list[str]:
    file = manifest.folder / manifest.environment.requirements
    names = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else []:
        try:
            names.append(Requirement(line.partition("#")[0].strip()).name)
        except InvalidRequirement:
            continue
    return names
