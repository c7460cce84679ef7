"""The AI Studio notebook: installs, trains a little, evaluates, shows the figures; executed to prove that it runs."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from fuxian.errors import InputError, PlatformError
from fuxian.submission.manifest import Manifest
from fuxian.submission.readme import USUAL_COMMANDS
from fuxian.submission.results import Result, results_table

LITE_STEPS = 20
SETUP = '''import importlib.util
import subprocess
import sys


def run(*command):
    """Runs a command, shows what it says, and stops the notebook where it fails."""
    command = [sys.executable, *command[1:]] if command[0] == "python" else list(command)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout)
    done.check_returncode()


if importlib.util.find_spec("paddle") is None or {needs_fuxian} and importlib.util.find_spec("fuxian") is None:
    run("python", "-m", "pip", "install", "-r", {requirements!r})'''


def make_notebook(manifest: Manifest, results: list[Result]) -> dict[str, Any]:
    """The notebook in Jupyter's JSON, not executed."""

    def text(source: str) -> dict[str, Any]:
        return {"cell_type": "markdown", "metadata": {}, "source": source}

    def code(source: str) -> dict[str, Any]:
        return {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": source}

    def call(command: list[str]) -> dict[str, Any]:
        return code(f"run({', '.join(map(repr, command))})")

    paper = manifest.paper
    requirements = manifest.environment.requirements
    setup = SETUP.format(needs_fuxian=manifest.recipe is not None, requirements=requirements)
    cells = [
        text(f"# {paper.title}\n\n{', '.join(paper.authors)}. {paper.venue} {paper.year}. <{paper.url}>"),
        text(results_table(results, "zh") + "\n\n" + results_table(results, "en")),
        text("## 环境 / Environment"),
        code(setup),
        text("## 训练（少量步数） / Training, a few steps"),
    ]
    if manifest.recipe is not None:
        train = [*shlex.split(USUAL_COMMANDS["train"])[:2], f"--steps={LITE_STEPS}", "--out=output/lite"]
        evaluate = [*shlex.split(USUAL_COMMANDS["evaluate"])[:2], "--out=output/eval"]
    else:
        train = (
            manifest.arguments("train", out="output", steps=LITE_STEPS)
            if "train" in manifest.commands
            else []
        )
        evaluate = manifest.arguments("evaluate", out="output")
    cells += [call(train)] if train else []
    cells += [text("## 评估 / Evaluation"), call(evaluate)]
    return {
        "cells": [{"id": f"cell-{number}", **cell} for number, cell in enumerate(cells)],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def execute_notebook(notebook: dict[str, Any], folder: Path, seconds: float) -> dict[str, Any]:
    """The notebook with what its cells gave, run in ``folder`` with at most ``seconds`` a cell.

    Raises InputError where a cell fails or takes longer, PlatformError where no Jupyter kernel is installed.
    """
    import nbformat
    from jupyter_client.manager import AsyncKernelManager

    run = nbformat.from_dict(notebook)
    name = run.metadata.get("kernelspec", {}).get("name", "python3")
    with tempfile.TemporaryDirectory(prefix="fuxian-kernel-") as sockets:
        # Local sockets: no port of this machine is opened, and a sandbox without a network has them too.
        manager = AsyncKernelManager(kernel_name=name, transport="ipc", ip=f"{sockets}/kernel")
        _execute(run, folder, seconds, manager)
    return dict(run)


def _execute(notebook: Any, folder: Path, seconds: float, manager: Any) -> None:
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError

    client = NotebookClient(
        notebook, km=manager, timeout=int(seconds), resources={"metadata": {"path": str(folder)}}
    )
    try:
        client.execute(stderr=subprocess.DEVNULL)
    except NoSuchKernel as error:
        raise PlatformError("no Jupyter kernel is installed; install ipykernel.") from error
    except CellTimeoutError as error:
        raise InputError(
            f"{folder}: a cell of the notebook took longer than {seconds:.0f} s; shorten it."
        ) from error
    except CellExecutionError as error:
        said = str(error).strip().splitlines()[-1][:200]
        raise InputError(
            f"{folder}: the notebook does not run ({said}); mend the command that it calls."
        ) from error


def write_notebook(notebook: dict[str, Any], file: Path) -> None:
    """Writes the notebook as an .ipynb."""
    file.write_text(json.dumps(notebook, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """``python -m fuxian.submission.notebook IN OUT SECONDS``: runs a notebook in the working folder."""
    source, target, seconds = sys.argv[1:]
    try:
        made = execute_notebook(json.loads(Path(source).read_text(encoding="utf-8")), Path(), float(seconds))
    except (InputError, PlatformError) as error:
        print(error, file=sys.stderr)
        sys.exit(2 if isinstance(error, InputError) else 4)
    write_notebook(made, Path(target))


if __name__ == "__main__":
    main()
