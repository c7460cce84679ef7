"""Submissions of random bytes: does any hang, crash, or end as a failure of Fuxian's own?

Draws manifests, logs, weights, texts and trees with Hypothesis and takes each through the doors that read them. What
counts as a defect is anything but a reading or one printable sentence of bad input. The run goes on where an earlier
one ended, with other draws, for the state file holds how many were made.

    python benchmarks/fuzz_submissions.py --examples 2000 --state fuzz.json --json
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SUBMISSIONS = Path(__file__).parents[1] / "tests" / "security" / "fuzz_submissions.py"


def load_fuzz() -> Any:
    spec = importlib.util.spec_from_file_location(SUBMISSIONS.stem, SUBMISSIONS)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--examples", type=int, default=2000, help="how many to have made in all")
    parser.add_argument("--state", type=Path, help="a file of earlier runs, to go on from")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    fuzz = load_fuzz()
    state = {"made": 0, "refused": 0, "read": 0, "slowest_seconds": 0.0, "defects": []}
    if given.state and given.state.is_file():
        state = json.loads(given.state.read_text())
    place = Path(tempfile.mkdtemp())
    try:
        while state["made"] < given.examples:
            many = min(100, given.examples - state["made"])
            for door, example in fuzz.draw(many, seed=state["made"]):
                began = time.monotonic()
                outcome = fuzz.take(door, example, place)
                state["slowest_seconds"] = max(state["slowest_seconds"], round(time.monotonic() - began, 2))
                state["made"] += 1
                if outcome in ("refused", "read"):
                    state[outcome] += 1
                else:
                    state["defects"].append([door, outcome, repr(example)[:300]])
            if given.state:
                given.state.write_text(json.dumps(state))
            print(f"{state['made']} of {given.examples}", file=sys.stderr)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    if given.json:
        print(json.dumps(state))
    else:
        print(f"made     {state['made']}\nread     {state['read']}\nrefused  {state['refused']}")
        print(f"defects  {len(state['defects'])}\nslowest  {state['slowest_seconds']} s")
    sys.exit(1 if state["defects"] else 0)


if __name__ == "__main__":
    main()
