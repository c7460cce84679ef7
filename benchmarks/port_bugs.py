"""Fuxian, padiff 0.2.0 and reprod_log 1.0.1 on the catalogue of port bugs, in one run.

    python benchmarks/port_bugs.py --peers            the table (downloads the peers into .cache/peers)
    python benchmarks/port_bugs.py --mend             what `align run --mend` makes of them, applied and measured
    python benchmarks/port_bugs.py --case vit-kqv     one case, with what each tool says
    python benchmarks/port_bugs.py --check            what each bug changes, measured without any tool
    python benchmarks/port_bugs.py --list             the cases

Each tool runs in a process of its own: padiff must be imported before both frameworks.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from port_bugs import peers

FAITHFUL_TWICE = ("fuxian", "fuxian, mending")
"""Asked of the faithful ports in float32 too; the peers know no element types."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    parser.add_argument("--case", action="append", default=[], help="only this case (may be repeated)")
    parser.add_argument("--list", action="store_true", help="list the cases and stop")
    parser.add_argument("--check", action="store_true", help="check the catalogue itself, without any tool")
    parser.add_argument("--peers", action="store_true", help="run padiff and reprod_log too")
    parser.add_argument("--mend", action="store_true", help="apply the mends too, and measure what they make")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if arguments.worker:
        return work(arguments.worker, arguments.case)

    from port_bugs.catalogue import BUGS, FAITHFUL

    cases = [case for case in [*FAITHFUL, *BUGS] if not arguments.case or case.name in arguments.case]
    unknown = set(arguments.case) - {case.name for case in cases}
    if unknown:
        parser.error(f"no case is called {min(unknown)}; --list shows the names")
    if arguments.list:
        for case in cases:
            print(f"{case.name:40} {getattr(case, 'mistake', 'faithful')}")
        return 0
    if arguments.check:
        return check(cases)
    tools = [
        "fuxian, mending" if arguments.mend else "fuxian",
        *(["padiff", "padiff by hand", "reprod_log", "reprod_log by hand"] if arguments.peers else []),
    ]
    if arguments.peers:
        peers.installed()
    answers = {tool: run(tool, [case.name for case in cases]) for tool in tools}
    rows = {tool: score(cases, answers[tool]) for tool in tools}
    if arguments.json:
        print(json.dumps({"tools": rows, "answers": answers}, indent=1))
    else:
        show(cases, answers, rows, one=bool(arguments.case))
    return 0


def check(cases: list) -> int:
    from port_bugs.measure import complaint

    wrong = 0
    for case in cases:
        said = complaint(case)
        wrong += said is not None
        print(f"{case.name:40} {said or 'as the catalogue says'}", flush=True)
    print(f"{len(cases)} cases, {wrong} wrong")
    return 1 if wrong else 0


def run(tool: str, names: list[str]) -> dict[str, dict]:
    """Answers by case (``case@float32`` for the second dtype). A case that ends the process is an alarm."""
    answers: dict[str, dict] = {}
    waiting = list(names)
    while waiting:
        command = [sys.executable, str(Path(__file__).resolve()), "--worker", tool]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(peers.FOLDER), os.environ.get("PYTHONPATH", "")]),
        }
        process = subprocess.Popen(
            [*command, *(part for name in waiting for part in ("--case", name))],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            text=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                answer = json.loads(line)
                answers[answer.pop("case")] = answer
                print(f"\r{tool}: {len(answers)} answers", end="", file=sys.stderr)
        process.wait()
        left = [name for name in waiting if name not in answers]
        if left:
            answers[left[0]] = {
                "alarm": True,
                "note": f"the process ended with {process.returncode}",
                "seconds": 0.0,
            }
        waiting = left[1:]
    print(file=sys.stderr)
    return answers


def work(tool: str, names: list[str]) -> int:
    if tool.startswith("padiff"):
        # it patches both frameworks while they are imported, and logs below the first folder of sys.path
        os.chdir(tempfile.mkdtemp())
        sys.path.insert(0, str(Path.cwd()))
        if tool == "padiff by hand":
            os.environ |= {"PADIFF_API_CHECK": "OFF", "PADIFF_CUDA_MEMORY": "OFF"}
        import padiff  # noqa: F401
    from dataclasses import asdict
    from functools import partial

    from port_bugs.catalogue import BUGS, FAITHFUL
    from port_bugs.tools import TOOLS, Answer, ask

    by_name = {case.name: case for case in [*FAITHFUL, *BUGS]}
    truth = {bug.name: bug for bug in BUGS}
    out = os.fdopen(os.dup(1), "w")
    for name in names:
        asked = {name: TOOLS[tool]}
        if tool in FAITHFUL_TWICE and name not in truth:
            asked = {f"{name}@float32": partial(TOOLS[tool], dtype="float32"), **asked}
        for key, question in asked.items():
            answer: Answer = ask(question, by_name[name])
            right = {}
            if name in truth:
                right = {
                    "right_place": answer.right_place(truth[name]),
                    "right_cause": answer.right_cause(truth[name]),
                }
            print(json.dumps({"case": key, **asdict(answer), **right}), file=out, flush=True)
    return 0


def score(cases: list, answers: dict[str, dict]) -> dict:
    bugs = {case.name for case in cases if hasattr(case, "causes")}
    planted = [answer for name, answer in answers.items() if name in bugs]
    faithful = [answer for name, answer in answers.items() if name not in bugs]
    return {
        "bugs": len(planted),
        "detected": sum(answer["alarm"] for answer in planted),
        "place": sum(answer.get("right_place", False) for answer in planted),
        "cause": sum(answer.get("right_cause", False) for answer in planted),
        "proven": sum(answer.get("certainty") == "proven" for answer in planted),
        "mended": sum(answer.get("mended") == "right" for answer in planted),
        "wrongly_mended": sum(answer.get("mended", "").startswith("wrong") for answer in planted),
        "faithful": len(faithful),
        "false_alarms": sum(answer["alarm"] for answer in faithful),
        "seconds": round(sum(answer["seconds"] for answer in answers.values()), 1),
    }


def show(cases: list, answers: dict, rows: dict, *, one: bool) -> None:
    for tool, given in answers.items():
        for name, answer in given.items():
            bad = answer.get("right_place") is False or answer.get("right_cause") is False
            if one or (tool in FAITHFUL_TWICE and (bad or (answer["alarm"] and "right_place" not in answer))):
                print(f"{tool}: {name}: " + (_said(answer) if answer["alarm"] else "equal"))
    if one:
        for case in cases:
            if hasattr(case, "causes"):
                print(f"right: {case.name}: {case.mistake}")
                print(
                    f"  stage {sorted(case.stages)} place {sorted(case.places)} cause {sorted(case.causes)}"
                )
    print(
        f"{'tool':20}{'detected':>14}{'right place':>14}{'right cause':>14}{'false alarms':>14}{'time':>10}"
    )
    mending = rows.get("fuxian, mending")
    for tool, row in rows.items():
        shares = [f"{row[key]}/{row['bugs']}" for key in ("detected", "place", "cause")]
        alarms = f"{row['false_alarms']}/{row['faithful']}"
        print(
            f"{tool:20}"
            + "".join(f"{share:>14}" for share in [*shares, alarms])
            + f"{row['seconds']:>8.0f} s"
        )
    if mending is not None:
        print(
            f"of {mending['bugs']} mistakes {mending['proven']} have a proven cause; the diff mends"
            f" {mending['mended']}, and {mending['wrongly_mended']} wrongly"
        )


def _said(answer: dict) -> str:
    said = f"{answer.get('stage') or '?'} at {answer.get('place')!r}, cause {answer.get('cause')}"
    return f"{said} ({answer['note']})" if answer.get("note") else said


if __name__ == "__main__":
    sys.exit(main())
