"""`fuxian new`: a reproduction that trains, aligns and passes `fuxian check` at once, to be replaced part by part."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from fuxian.errors import InputError
from fuxian.submission.manifest import load_manifest
from fuxian.submission.package import Package, complete, run_recipe_command
from fuxian.submission.results import MEASUREMENTS
from fuxian.submission.templates import REPRODUCTION, render

KEPT_OF_RUN = {"log.jsonl": "logs/{claim}.jsonl", "model.safetensors": "weights/{claim}.safetensors"}


def new(folder: Path, paper_id: str) -> Package:
    """Writes a reproduction into the new folder: parts, manifest, tests, and the log and weights of a real training.

    The toy task takes seconds on a CPU. Raises InputError where the folder is there already, or the id is none.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there already; name a new folder.")
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", paper_id):
        raise InputError(
            f"--paper {paper_id!r} is no id; use small letters, digits and '-', as in swin-transformer."
        )
    for source in sorted(REPRODUCTION.rglob("*")):
        if source.is_file() and "__pycache__" not in source.parts:
            _write(source, folder, paper_id)
    manifest = load_manifest(folder)
    claim = manifest.claim()
    run = folder / "output"
    run_recipe_command(folder, "train", "--out=output")
    for name, target in KEPT_OF_RUN.items():
        _keep(run / name, folder / target.format(claim=claim.id))
    measured = folder / MEASUREMENTS.format(claim=claim.id)
    run_recipe_command(folder, "evaluate", "--out=output")
    _keep(run / "measurements.json", measured)
    _keep(run / "environment.json", measured.with_name("environment.json"))
    shutil.rmtree(run)
    return complete(manifest, execute=False)


def _write(source: Path, folder: Path, paper_id: str) -> None:
    name = str(source.relative_to(REPRODUCTION))
    target = folder / (".gitignore" if name == "gitignore" else name.removesuffix(".j2"))
    target.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".j2"):
        target.write_text(render(f"{REPRODUCTION.name}/{name}", id=paper_id), encoding="utf-8")
    else:
        shutil.copyfile(source, target)


def _keep(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
