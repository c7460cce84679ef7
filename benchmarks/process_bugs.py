"""`fuxian align run PORT PORT --processes 2` on planted mistakes of data-parallel training, and on faithful ports.

    python benchmarks/process_bugs.py                     the table
    python benchmarks/process_bugs.py --case same-rows    one case, with what is said
    python benchmarks/process_bugs.py --json              one JSON document on stdout

The processes are started once for all cases but the one that raises.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


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

    from fuxian.align.processes.run import ready
    from process_bugs.catalogue import BUGS, CASES

    unknown = set(arguments.case) - set(CASES)
    if unknown:
        parser.error(f"no case is called {min(unknown)}")
    answers = json.loads(arguments.keep.read_text()) if arguments.keep and arguments.keep.exists() else {}
    names = [name for name in arguments.case or CASES if name not in answers or arguments.case]
    # One that raises ends its processes, and theirs alone.
    apart = [name for name in names if name == "fails-on-several"]
    for some in ([name for name in names if name not in apart], *([name] for name in apart)):
        with ready():
            answers |= ask(some) if some else {}
    if arguments.keep:
        arguments.keep.write_text(json.dumps(answers))
    bugs = [case for case in BUGS if case.name in answers]
    right = {
        case.name: (
            answers[case.name]["stage"] in case.stages
            and (answers[case.name]["place"] or "model").replace(" ", "_") in case.places,
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
    }
    if arguments.json:
        print(json.dumps({"table": table, "right": right, "answers": answers}, indent=1))
        return 0
    for name, both in right.items():
        if not all(both):
            print(f"{name}: {answers[name]}")
    print(*(f"{key} {value}" for key, value in table.items()), sep=", ")
    return 0


def ask(names: list[str]) -> dict[str, dict]:
    """What `align run --processes 2` says of each case: as the command does, but with one start of the processes."""
    from fuxian.align.processes.alignment import align_processes, conclude, run_alone, sides_of
    from fuxian.align.processes.judge import JUDGES
    from fuxian.align.processes.launched import run_on_several

    sources = [f"process_bugs.catalogue:{name}" for name in names]
    if len(names) == 1:
        return {names[0]: answer(align_processes(sources[0], sources[0], 2))}
    began = time.monotonic()
    alone = [run_alone(source, 2) for source in sources]
    plans = [(source, one.given) for source, one in zip(sources, alone, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        shares = run_on_several(plans, 2, Path(folder), time.monotonic() - began)
        sides = sides_of(Path(folder), "port", "port", "float64")
    return {
        name: answer(conclude(one, theirs, sides, tuple(JUDGES)))
        for name, one, theirs in zip(names, alone, shares, strict=True)
    }


def answer(alignment: Any) -> dict:
    document = alignment.as_dict()
    first = document["first_divergence"] or {}
    keys = ("stage", "place", "cause", "certainty", "evidence")
    return {"verdict": document["verdict"], **{key: first.get(key) for key in keys}}


if __name__ == "__main__":
    sys.exit(main())
