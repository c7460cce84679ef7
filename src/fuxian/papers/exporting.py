"""Runs a paper's exporter in a child process, since a failing exporter can take its process down.

The exporter is ``export(claim, folder, weights, out, steps=...)`` in the paper's ``export`` module. The
child (``python -m fuxian.papers.exporting``) reads a JSON request from stdin and writes a JSON answer to a file.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from fuxian.errors import InputError, PlatformError
from fuxian.paper import Claim, Paper
from fuxian.papers import shelf
from fuxian.training.inference import NETWORK, describe_export

# -P: a module that happens to lie in the working directory must not be imported.
CHILD = ("-P", "-m", "fuxian.papers.exporting")
TIMEOUT = 600.0
"""Seconds."""


def export(
    paper: Paper, claim: Claim, folder: Path, weights: Path, out: Path, *, steps: int | None = None
) -> dict[str, Any]:
    """Exports the claim's model, adapted to ``folder`` where the paper does so, into the new folder ``out``.

    ``out`` appears whole or not at all.

    Returns:
        What the paper's exporter returns; ``onednn``, whether Paddle Inference may run the network with it, and
        ``why`` not, as inference.json beside the network says too; and ``files``: the names of the written files.

    Raises:
        InputError: ``out`` is there and not empty, or the exporter raised it.
        PlatformError: the exporter failed, crashed, took longer than ten minutes, or raised it.
    """
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise InputError(f"{out} is there already; name a new folder with --out.")
    try:
        draft = tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.")
    except OSError as error:
        raise InputError(f"{out} cannot be made ({error.strerror}); give another --out.") from error
    with draft as place:
        made = Path(place) / "made"
        made.mkdir()
        request = {
            "name": f"{paper.id}/{claim.id}",
            "folder": str(folder),
            "weights": str(weights),
            "out": str(made),
            "answer": str(Path(place) / "answer.json"),
            "steps": steps,
        }
        answer = _ask_child(request)
        if (made / f"{NETWORK}.pdiparams").is_file():
            answer |= describe_export(made)
        files = sorted(file.name for file in made.iterdir())
        try:
            made.rename(out)
        except OSError as error:
            raise InputError(f"{out} cannot be made ({error.strerror}); give another --out.") from error
    return {**answer, "files": files}


def _ask_child(request: dict[str, Any]) -> dict[str, Any]:
    try:
        child = subprocess.run(  # noqa: S603
            [sys.executable, *CHILD],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PlatformError(
            f"the exporter took longer than {TIMEOUT:g} s and was ended; run it again."
        ) from error
    if os.environ.get("FUXIAN_TRACEBACK"):
        sys.stderr.write(child.stderr)
    if child.returncode < 0:
        name = signal.Signals(-child.returncode).name
        raise PlatformError(
            f"the exporter crashed with {name} and wrote nothing; use the Paddle that Fuxian pins."
        )
    try:
        answer = json.loads(Path(request["answer"]).read_text())
    except (OSError, ValueError):
        answer = {"failed": f"it ended with exit code {child.returncode} and no answer"}
    if "bad_input" in answer:
        raise InputError(answer["bad_input"])
    if "platform" in answer:
        raise PlatformError(answer["platform"])
    if "failed" in answer:
        raise PlatformError(
            f"the exporter failed and wrote nothing: {answer['failed']}; FUXIAN_TRACEBACK=1 shows more."
        )
    return answer["made"]


def main() -> None:
    """The child: answers the request on stdin."""
    request = json.load(sys.stdin)
    try:
        paper, claim = shelf.find(request["name"])
        made = shelf.part(paper, "export").export(
            claim,
            Path(request["folder"]),
            Path(request["weights"]),
            Path(request["out"]),
            steps=request["steps"],
        )
        answer = {"made": made}
    except InputError as error:
        answer = {"bad_input": str(error)}
    except PlatformError as error:
        answer = {"platform": str(error)}
    except Exception as error:
        traceback.print_exc()
        answer = {"failed": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    Path(request["answer"]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
