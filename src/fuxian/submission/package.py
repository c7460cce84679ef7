"""`fuxian package`: everything that the official flow wants, made from what was measured."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from fuxian.errors import InputError
from fuxian.paper import Claim
from fuxian.submission.checklist import Finding, check_manifest
from fuxian.submission.checklist.submitted_files import LEFT_BY_TOOLS, SubmittedFiles, look
from fuxian.submission.letters import FOLDER as LETTERS
from fuxian.submission.letters import write_letters
from fuxian.submission.log_reprod import write_log_reprod
from fuxian.submission.manifest import Manifest, load_manifest
from fuxian.submission.notebook import execute_notebook, make_notebook, write_notebook
from fuxian.submission.official_files import write_official_files
from fuxian.submission.official_log import official_log
from fuxian.submission.pictures import write_learning_curve
from fuxian.submission.readme import write_readmes
from fuxian.submission.results import MEASUREMENTS, read_results

RunNotebook = Callable[[Any, Path, float], Any]
"""The executed notebook, of one and the folder that it runs in, with at most so many seconds a cell."""
WriteLiteData = Callable[[Path], None]
"""Writes ``lite_data`` into the folder of a submission of recipes."""
LEFT_BEHIND = (*LEFT_BY_TOOLS, "*.pyc", ".git", ".pytest_cache", "runs")


@dataclass(frozen=True)
class Package:
    """What was packaged. ``written`` are the files made, relative to ``folder``; the rest was copied."""

    folder: Path
    written: list[str]
    findings: list[Finding]
    notebook_ran: bool


def package(
    folder: Path,
    out: Path,
    *,
    run: Path | None = None,
    execute: bool = True,
    notebook: RunNotebook = execute_notebook,
    lite_data: WriteLiteData | None = None,
) -> Package:
    """Copies the submission into the new folder ``out`` and adds all that the official flow wants.

    The README's figures, the mails and the report come from ``results/<claim>/measurements.json``, or from the run
    folder ``run`` (of `fuxian reproduce`, or the evidence of `fuxian verify`), whose weights, log and measurements are
    taken over, where it holds them. With ``execute`` the
    notebook is run from its first cell to its last, and holds what it gave. ``notebook`` runs it and ``lite_data``
    writes the examples: in this process's name unless others are given, so give those of ``verify.packaging`` for a
    submission that is not your own.

    Raises InputError where ``out`` is not new, nothing was measured yet, or the notebook does not run; nothing
    is then left in ``out``.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already; name a new folder with --out.")
    if out.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{out} lies in the submission itself; name a folder outside of it.")
    tree = look(load_manifest(folder))
    try:
        tree.copy((path for path in tree.files if _belongs(tree, path)), out)
        manifest = load_manifest(out)
        if run is not None:
            _take_over(run, manifest)
        return complete(manifest, execute=execute, notebook=notebook, lite_data=lite_data)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise


def complete(
    manifest: Manifest,
    *,
    execute: bool,
    notebook: RunNotebook = execute_notebook,
    lite_data: WriteLiteData | None = None,
) -> Package:
    """Writes into the submission's own folder what it lacks, and anew what is derived from its measurements."""
    folder = manifest.folder
    results = read_results(manifest)
    written = _write_gitignore(folder)
    written += write_official_files(manifest)
    written += _write_logs(manifest)
    if manifest.recipe is not None and not any(path.startswith("lite_data") for path in look(manifest).files):
        (lite_data or _write_lite_data)(folder)
        written += ["lite_data"]
    written += write_log_reprod(folder, results)
    for result in results:
        file = folder / MEASUREMENTS.format(claim=result.claim.id)
        verdict = file.with_name("verdict.json")
        verdict.write_text(json.dumps(result.verdict.as_dict(), indent=1, ensure_ascii=False) + "\n")
        written.append(str(verdict.relative_to(folder)))
        curve = write_learning_curve(manifest, result.claim)
        written += [curve] if curve else []
    made = make_notebook(manifest, results)
    name = f"{manifest.paper.id}.ipynb"
    write_notebook(made, folder / name)
    (folder / LETTERS).mkdir(exist_ok=True)  # so that the README lists it
    written += [name, *write_readmes(manifest, results)]
    written += write_letters(manifest, results)
    if execute:
        write_notebook(notebook(made, folder, manifest.seconds("evaluate")), folder / name)
        shutil.rmtree(folder / "output", ignore_errors=True)
        for left in folder.rglob("__pycache__"):
            shutil.rmtree(left)
    return Package(folder, written, check_manifest(manifest), execute)


def _write_lite_data(folder: Path) -> None:
    run_recipe_command(folder, "lite-data", "--out=lite_data")


def run_recipe_command(folder: Path, *arguments: str) -> None:
    """Runs one of the recipe's commands in the submission's folder, in a process of its own.

    The submission's modules have everyday names (data, model), which must not meet those of another one.
    """
    command = [sys.executable, "-m", "fuxian.submission.recipe_commands", *arguments]
    done = subprocess.run(  # noqa: S603 - our own interpreter, a list
        command, cwd=folder, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1][:300]
        raise InputError(
            f"{folder}: the recipe's {arguments[0]} failed ({said.rstrip('.')}); mend the recipe."
        )


def _belongs(tree: SubmittedFiles, path: str) -> bool:
    """Whether the file is the entrant's own, neither left by a tool nor kept out by .gitignore."""
    left = any(fnmatch(part, pattern) for part in path.split("/") for pattern in LEFT_BEHIND)
    return not left and not any(path.startswith(f"{line.strip('/')}/") for line in tree.ignored)


def _take_over(run: Path, manifest: Manifest) -> None:
    """The measurements, weights, log, kept checkpoints and environment of a run folder."""
    measured = _read(run / "measurements.json")
    name = measured.get("claim")
    if name not in manifest.claims:
        raise InputError(
            f"{run} is a run of {name!r}, and fuxian.toml claims {', '.join(manifest.claims)}; name one of these."
        )
    claim = manifest.paper.claim(name)
    seeds = [entry.get("seed") for entry in measured.get("runs", [])]
    first = run / f"seed_{seeds[0]}" if seeds and (run / f"seed_{seeds[0]}").is_dir() else run
    results = manifest.folder / MEASUREMENTS.format(claim=claim.id)
    taken = [
        (run / "measurements.json", results),
        (run / "measurements.safetensors", results.with_suffix(".safetensors")),
        (first / "environment.json", results.with_name("environment.json")),
    ]
    checkpoints = sorted(first.glob("checkpoints/step_*/model.safetensors"))
    stored, log = manifest.checkpoint_of(claim), manifest.log_of(claim)
    if checkpoints and stored:
        taken.append((checkpoints[-1], manifest.folder / stored))
    if log:
        taken.append((first / "log.jsonl", manifest.folder / log))
    kept = manifest.checkpoints_of(claim)
    if kept and checkpoints:
        # The log's chain names these, and no others.
        shutil.rmtree(manifest.folder / kept, ignore_errors=True)
        shutil.copytree(first / "checkpoints", manifest.folder / kept)
    for source, target in taken:
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def _read(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file} cannot be read; name a folder that `fuxian reproduce` or `fuxian verify` has finished."
        ) from error
    if not isinstance(data, dict):
        raise InputError(
            f"{file} is no JSON object; name a folder that `fuxian reproduce` or `fuxian verify` has finished."
        )
    return data


def _write_gitignore(folder: Path) -> list[str]:
    file = folder / ".gitignore"
    if file.exists():
        return []
    file.write_text("__pycache__/\n.venv/\n/output/\n/log/\n")
    return [".gitignore"]


def _write_logs(manifest: Manifest) -> list[str]:
    """Each claim's log.jsonl once more as text, in the official fields."""
    written = []
    for name in manifest.claims:
        claim: Claim = manifest.paper.claim(name)
        log = manifest.log_of(claim)
        if manifest.log is None or log is None or manifest.log.format != "jsonl":
            continue
        source = manifest.folder / log
        if source.is_file():
            rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
            target = source.with_suffix(".log")
            target.write_text(official_log(rows), encoding="utf-8")
            written.append(str(target.relative_to(manifest.folder)))
    return written
