"""`fuxian align run PORT PORT --processes 2` on planted mistakes of data-parallel training, and on faithful ports.

    python benchmarks/process_bugs.py                     the table
    python benchmarks/process_bugs.py --case same-rows    one case, with what is said
    python benchmarks/process_bugs.py --json              one JSON document on stdout

Each case takes three starts of Paddle: about ten seconds on two quiet cores.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    parser.add_argument("--case", action="append", default=[], help="only this case (may be repeated)")
    parser.add_argument("--keep", type=Path, help="a file of answers; those that it has are not asked again")
    arguments = parser.parse_args()
    folder = str(Path(__file__).resolve().parent)
    sys.path.insert(0, folder)
    os.environ["PYTHONPATH"] = os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])
    os.environ.setdefault("OMP_NUM_THREADS", "1")

    from process_bugs.catalogue import BUGS, CASES

    unknown = set(arguments.case) - set(CASES)
    if unknown:
        parser.error(f"no case is called {min(unknown)}")
    answers = json.loads(arguments.keep.read_text()) if arguments.keep and arguments.keep.exists() else {}
    for name in arguments.case or CASES:
        if name not in answers or arguments.case:
            answers[name] = answer(name)
            print(f"{name:28} {answers[name]}", file=sys.stderr, flush=True)
            if arguments.keep:
                arguments.keep.write_text(json.dumps(answers))
    bugs = [case for case in BUGS if case.name in answers]
    right = {
        case.name: (
            answers[case.name]["stage"] == case.stage
            and (answers[case.name]["place"] or "").replace(" ", "_") in (case.places or {""}),
            answers[case.name]["cause"] in case.causes,
        )
        for case in bugs
    }
    faithful = [name for name in answers if name not in right]
    table = {
        "bugs": len(bugs),
        "detected": sum(answers[case.name]["verdict"] == "diverged" for case in bugs),
        "place": sum(place for place, _ in right.values()),
        "cause": sum(cause for _, cause in right.values()),
        "proven": sum(answers[case.name]["certainty"] == "proven" for case in bugs),
        "faithful": len(faithful),
        "false_alarms": sum(answers[name]["verdict"] != "aligned" for name in faithful),
        "seconds": round(sum(one["seconds"] for one in answers.values())),
    }
    if arguments.json:
        print(json.dumps({"table": table, "right": right, "answers": answers}, indent=1))
        return 0
    for name, both in right.items():
        if not all(both):
            print(f"{name}: {answers[name]}")
    print(*(f"{key} {value}" for key, value in table.items()), sep=", ")
    return 0


def answer(name: str) -> dict:
    from fuxian.align.processes.alignment import align_processes

    source, began = f"process_bugs.catalogue:{name}", time.monotonic()
    document = align_processes(source, source, 2).as_dict()
    first = document["first_divergence"] or {}
    return {
        "verdict": document["verdict"],
        **{key: first.get(key) for key in ("stage", "place", "cause", "certainty", "evidence")},
        "seconds": round(time.monotonic() - began, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
