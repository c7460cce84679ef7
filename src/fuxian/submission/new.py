"""`fuxian new`: a submission that passes `fuxian check` at once.

Either a reproduction of a toy task, which trains and aligns, to be replaced part by part; or a paper that Fuxian has
reproduced, with its weights and its training log, to be verified, packaged, or gone on from.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fuxian.errors import InputError
from fuxian.paper import load_paper
from fuxian.submission.manifest import Manifest, Team, load_manifest, reproduced_papers
from fuxian.submission.package import Package, complete, run_recipe_command
from fuxian.submission.results import MEASUREMENTS
from fuxian.submission.templates import REPRODUCED, REPRODUCTION, render
from fuxian.toml_files import in_words

KEPT_OF_RUN = {"log.jsonl": "logs/{claim}.jsonl", "model.safetensors": "weights/{claim}.safetensors"}


TEMPLATE_TEAM = {
    "name": "Your team",
    "number": "0",
    "repo": "https://github.com/your-name/",
    "members": ["Your name"],
    "email": "you@example.org",
}
"""What stands in fuxian.toml until the entrant's own does; `fuxian check` names what is left of it."""


def new(folder: Path, paper: str, team: Mapping[str, Any] | None = None) -> Package:
    """Writes a submission into the new folder.

    ``team`` are fields of [team] that are known already: name, number, repo, members, email.

    ``paper`` is an id for a new reproduction: parts, manifest, tests, and the log and weights of a real training of
    the toy task, which takes seconds on a CPU. Or it is ``PAPER/CLAIM`` of what Fuxian has reproduced: a recipe that
    imports that paper's, its committed weights and log, and what these weights give on the claim's data.

    Raises InputError where the folder is there already, the id is none, or the claim has no weights.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there already; name a new folder.")
    if "/" not in paper and not re.fullmatch(r"[a-z0-9][a-z0-9-]*", paper):
        raise InputError(
            f"--paper {paper!r} is no id; use small letters, digits and '-', as in swin-transformer."
        )
    known = {**TEMPLATE_TEAM, "repo": f"{TEMPLATE_TEAM['repo']}{paper.partition('/')[0]}", **(team or {})}
    try:
        Team.model_validate(known)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(f"the team's {'.'.join(map(str, first['loc']))}: {in_words(first)}.") from error
    if "/" in paper:
        return _reproduced(folder, paper, known)
    for source in sorted(REPRODUCTION.rglob("*")):
        if source.is_file() and "__pycache__" not in source.parts:
            _write(source, folder, id=paper, team=known)
    manifest = load_manifest(folder)
    # In the mode that a ruling can replay on any processor.
    run_recipe_command(folder, "train", "--reproducible", "--out=output")
    for name, target in KEPT_OF_RUN.items():
        _keep(folder / "output" / name, folder / target.format(claim=manifest.claim().id))
    shutil.copytree(folder / "output" / "checkpoints", folder / "checkpoints" / manifest.claim().id)
    return _measured(manifest)


def _reproduced(folder: Path, name: str, team: Mapping[str, Any]) -> Package:
    paper_id, claim_id = name.split("/", 1)
    files = reproduced_papers()
    if paper_id not in files:
        raise InputError(
            f"--paper {name!r}: Fuxian has reproduced no such paper, but {', '.join(sorted(files))}; see"
            " `fuxian papers`."
        )
    paper = load_paper(files[paper_id])
    claim = paper.claim(claim_id)
    kept = {
        paper.folder / "weights" / f"{claim.id}.safetensors": f"weights/{claim.id}.safetensors",
        paper.folder / "weights" / f"{claim.id}.run" / "log.jsonl": f"logs/{claim.id}.jsonl",
    }
    for source in kept:
        if not source.is_file():
            raise InputError(
                f"--paper {name!r}: Fuxian holds no {source.name} of it; train it with `fuxian reproduce {name}`."
            )
    # What its trainings start from belongs to it: the terms of a ruling name these files.
    claims = {one.id for one in paper.claims}
    for start in sorted((paper.folder / "weights").glob("*.safetensors")):
        if start.stem not in claims:
            kept[start] = f"weights/{start.name}"
    for source in sorted(REPRODUCED.iterdir()):
        _write(source, folder, module=paper.folder.name, id=paper.id, claim=claim, team=team)
    for source, target in kept.items():
        _keep(source, folder / target)
    checkpoints = paper.folder / "weights" / f"{claim.id}.run" / "checkpoints"
    if checkpoints.is_dir():
        shutil.copytree(checkpoints, folder / "checkpoints" / claim.id)
    return _measured(load_manifest(folder))


def _measured(manifest: Manifest) -> Package:
    """Evaluates the weights, keeps what was measured, and adds what the official layout wants."""
    folder = manifest.folder
    run = folder / "output"
    measured = folder / MEASUREMENTS.format(claim=manifest.claim().id)
    run_recipe_command(folder, "evaluate", "--out=output")
    _keep(run / "measurements.json", measured)
    if (run / "measurements.safetensors").exists():
        _keep(run / "measurements.safetensors", measured.with_suffix(".safetensors"))
    _keep(run / "environment.json", measured.with_name("environment.json"))
    shutil.rmtree(run)
    return complete(manifest, execute=False)


def _write(source: Path, folder: Path, **values: Any) -> None:
    template = REPRODUCED if source.is_relative_to(REPRODUCED) else REPRODUCTION
    name = str(source.relative_to(template))
    target = folder / (".gitignore" if name == "gitignore" else name.removesuffix(".j2"))
    target.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".j2"):
        target.write_text(render(f"{template.name}/{name}", **values), encoding="utf-8")
    else:
        shutil.copyfile(source, target)


def _keep(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
