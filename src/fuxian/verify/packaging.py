"""Runs what `fuxian package` runs of a submission, its notebook and its recipe, in the sandbox."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from fuxian.errors import InputError
from fuxian.sandbox import MIB, Limits, ReadOnly, Scratch, readable, run
from fuxian.submission.manifest import load_manifest
from fuxian.submission.notebook import write_notebook
from fuxian.temporary import temporary_folder
from fuxian.verify.advice import advice
from fuxian.verify.commands import DATA, OUT, ROOM, WORK, Allowance, data_folder, let_others_read
from fuxian.verify.environment import Environment
from fuxian.verify.numbers import read_json

NOTEBOOK = "notebook.ipynb"
HOURS = 4.0


def notebook_in_sandbox(
    notebook: Any, folder: Path, seconds: float, *, allow_unsandboxed: bool = False
) -> Any:
    """The notebook with what its cells gave, run on a copy of ``folder`` with at most ``seconds`` a cell.

    Raises InputError where a cell fails or takes longer, and PlatformError where there is no sandbox.
    """
    with temporary_folder("package") as place:
        (place / "given").mkdir()
        write_notebook(notebook, place / "given" / NOTEBOOK)
        command = [
            "fuxian.submission.notebook",
            f"/given/{NOTEBOOK}",
            f"{OUT}/{NOTEBOOK}",
            str(seconds),
        ]
        _run(command, folder, place, "the notebook", allow_unsandboxed)
        return read_json(place / "out" / NOTEBOOK)


def lite_data_in_sandbox(folder: Path, *, allow_unsandboxed: bool = False) -> None:
    """Writes ``lite_data`` into ``folder``, as its recipe gives the examples."""
    with temporary_folder("package") as place:
        (place / "given").mkdir()
        command = ["fuxian.submission.recipe_commands", "lite-data", f"--out={OUT}"]
        _run(command, folder, place, "the recipe's lite-data", allow_unsandboxed)
        shutil.copytree(place / "out", folder / "lite_data", dirs_exist_ok=True)


def _run(module: list[str], folder: Path, place: Path, what: str, allow_unsandboxed: bool) -> None:
    manifest = load_manifest(folder)
    shutil.copytree(folder, place / "copy")
    let_others_read(place)
    needed = manifest.claim().data
    environment = Environment(Path(sys.executable), "", "reused", {})
    outcome = run(
        ["python", "-P", "-m", *module],
        mounts=[
            *environment.mounts,
            *(ReadOnly(data_folder(name), f"{WORK}/{path}") for name, path in manifest.data.items()),
            *(ReadOnly(data_folder(name), f"{DATA}/{name}") for name in needed),
            ReadOnly(place / "given", "/given"),
            Scratch(WORK, _size(place / "copy") + ROOM, source=place / "copy"),
            Scratch(OUT, ROOM, save_to=place / "out"),
        ],
        limits=Limits(wall=HOURS * 3600, memory=Allowance.memory, cpus=2.0, pids=512, kept=4 * MIB),
        env={**environment.variables, **({"FUXIAN_DATA": DATA} if needed else {})},
        cwd=WORK,
        allow_unsandboxed=allow_unsandboxed,
    )
    if outcome.reason == "ok":
        return
    said = (readable(outcome.stderr).strip().splitlines() or [""])[-1]
    if outcome.exit_code == 2 and said:
        raise InputError(said)
    raise InputError(f"{folder}: {what} does not run. {outcome.detail}{advice(outcome)}")


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*"))
