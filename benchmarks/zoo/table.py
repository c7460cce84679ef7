"""What the zoos of models share: pairs through ``fuxian align run``, one at a time, each kept and not run again."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fuxian.temporary import temporary_folder

FOLDER = Path(__file__).parent
SAID = ("aligned", "diverged", "inconclusive")
KEPT = ("stage", "place", "reference_place", "cause", "certainty", "evidence", "error")


def options(parser: argparse.ArgumentParser, names: list[str], state: str) -> None:
    """The options of every zoo."""
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--state", type=Path, default=Path(state), help="what was run, to go on from")
    parser.add_argument("--json", action="store_true", help="a list of rows instead of a table")


def table(
    pairs: Mapping[str, Mapping[str, str]], files: tuple[str, str], stages: str, given: argparse.Namespace
) -> None:
    """Run what ``given.state`` has not, and print all. ``pairs``: by name, what the recipe files read from the
    environment; ``files``: the port's and the reference's recipe."""
    state: dict[str, Any] = json.loads(given.state.read_text()) if given.state.is_file() else {}
    given.state.parent.mkdir(parents=True, exist_ok=True)
    for name, environment in pairs.items():
        if name not in state:
            state[name] = run(files, stages, environment)
            given.state.write_text(json.dumps(state, indent=1), encoding="utf-8")
            print(line(name, state[name]), file=sys.stderr, flush=True)
    rows = [{"model": name, **state[name]} for name in pairs]
    if given.json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(line(row["model"], row))
    same = sum(row["verdict"] == "aligned" for row in rows)
    print(f"{same} of {len(rows)} aligned")


def run(files: tuple[str, str], stages: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """What the command says of one pair: verdict, first divergence, every stage's verdict, seconds."""
    began = time.monotonic()
    command = [
        str(Path(sys.executable).with_name("fuxian")),
        *("align", "run", *(str(FOLDER / file) for file in files), "--stages", stages, "--json"),
    ]
    # torch.compile's own start would import operators that are not there.
    own = {"TORCHDYNAMO_DISABLE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    with temporary_folder("zoo") as folder:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **environment, **own},
            capture_output=True,
            text=True,
            check=False,
        )
    seconds = round(time.monotonic() - began, 1)
    try:
        document = json.loads(done.stdout)
    except json.JSONDecodeError:
        document = {"error": (done.stdout + done.stderr)[-1000:]}
    if "error" in document:
        return {"verdict": "error", "said": document["error"], "seconds": seconds}
    first = document.get("first_divergence") or {}
    return {
        "verdict": document["verdict"],
        "stages": {one["stage"]: one["verdict"] for one in document["stages"] if one["verdict"] in SAID},
        "first": {key: first[key] for key in KEPT if key in first},
        "notes": document.get("notes", []),
        "seconds": seconds,
    }


def line(name: str, row: dict[str, Any]) -> str:
    """One row of the table."""
    first = row.get("first") or {}
    where = (
        f"{first['stage']} {first['place'] or 'the model'}: {first['cause']} ({first['certainty']})"
        if first
        else ""
    )
    said = where or " ".join(row.get("said", "").strip().splitlines()[-1:])
    return f"{name:30}{row['verdict']:14}{row['seconds']:6.0f} s  {said}"
