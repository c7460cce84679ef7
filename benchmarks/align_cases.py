"""Runs ``fuxian align run`` over a folder of cases and prints what it says of each.

A case is a folder with ``ref.py`` (PyTorch) and, beside it, ``faithful.py`` (expected: aligned) or ``port.py``
(expected: diverged), or both. What was already run with the same sources is not run again (``--state``).

Example: python benchmarks/align_cases.py ../shared/cases/align --state /tmp/cases.json
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

EXPECTED = {"faithful.py": "aligned", "port.py": "diverged"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="names that contain one of these, with commas between")
    parser.add_argument("--state", type=Path, help="a JSON file of what was run, to go on from")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    state: dict[str, Any] = {}
    if arguments.state and arguments.state.exists():
        state = json.loads(arguments.state.read_text(encoding="utf-8"))
    rows = []
    for folder in sorted(path for path in arguments.folder.iterdir() if (path / "ref.py").exists()):
        if not any(part in folder.name for part in arguments.only.split(",")):
            continue
        sources = {path.name: path.read_bytes() for path in sorted(folder.glob("*.py"))}
        for side in EXPECTED:
            if side not in sources or (side == "port.py" and sources[side] == sources.get("faithful.py")):
                continue
            digest = hashlib.sha256(sources[side] + sources["ref.py"]).hexdigest()
            key = f"{folder.name}/{side}"
            if state.get(key, {}).get("digest") != digest:
                state[key] = {"digest": digest, **run(folder, side)}
                if arguments.state:
                    arguments.state.write_text(json.dumps(state, indent=1), encoding="utf-8")
            rows.append({"case": folder.name, "side": side, **state[key]})
            if not arguments.json:
                print(line(rows[-1]), flush=True)
    wrong = [row for row in rows if not right(row)]
    if arguments.json:
        print(json.dumps({"rows": rows, "wrong": len(wrong)}, indent=1))
    else:
        print(f"{len(rows) - len(wrong)} of {len(rows)} verdicts as expected")
    sys.exit(1 if wrong else 0)


def run(folder: Path, side: str) -> dict[str, Any]:
    """What the command says of one pair: verdict, first divergence, notes, exit code and seconds."""
    began = time.monotonic()
    command = [
        sys.executable,
        "-c",
        "from fuxian.cli.main import run; run()",
        "align",
        "run",
        side,
        "ref.py",
        "--json",
    ]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    seconds = round(time.monotonic() - began, 1)
    try:
        document = json.loads(done.stdout)
    except json.JSONDecodeError:
        said = (done.stdout + done.stderr)[-1000:]
        return {"verdict": "no JSON", "exit": done.returncode, "seconds": seconds, "said": said}
    return {
        "verdict": document.get("verdict", "error"),
        "exit": done.returncode,
        "seconds": seconds,
        "first": document.get("first_divergence"),
        "notes": document.get("notes", []),
        "diverged": [s["stage"] for s in document.get("stages", []) if s["verdict"] == "diverged"],
        "said": document.get("error", ""),
    }


def right(row: dict[str, Any]) -> bool:
    """Whether the verdict is the expected one. A faithful port that meets the framework's own defect does differ."""
    defect = row["side"] == "faithful.py" and (row.get("first") or {}).get("cause") == "framework_defect"
    return defect or row["verdict"] == EXPECTED[row["side"]]


def line(row: dict[str, Any]) -> str:
    """One row of the table."""
    first = row.get("first") or {}
    mark = "  " if right(row) else "! "
    said = first.get("evidence") or str(row.get("said", ""))
    cells = [f"{row['case']}/{row['side'][:-3]}", row["verdict"], f"{row['seconds']:.0f} s"]
    if first:
        kind = f" ({first['kind']})" if first.get("kind") else ""
        cells += [first["stage"], str(first["place"]), first["cause"] + kind]
    return mark + " | ".join(
        [*cells, said.replace("\n", " ")[:300], first.get("line", "").rsplit("/", 1)[-1]]
    )


if __name__ == "__main__":
    main()
