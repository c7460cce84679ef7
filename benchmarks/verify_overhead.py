"""What `fuxian verify` costs beyond the entrant's own commands, with a warm environment, on the submission of
`fuxian new`.

    python benchmarks/verify_overhead.py --rounds 5 --json

The overhead of a round is the wall clock of the whole process, from its start to its exit, without the time between
the start and the end of each of the submission's commands in its sandbox (``seconds`` of `commands` in the evidence).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GOAL = 3.0  # seconds


def one_round(folder: Path, place: Path) -> dict[str, float]:
    """Seconds of a verification: ``whole``, ``commands``, ``overhead``, and of each step what is not a command's."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "fuxian.cli.main", "verify", str(folder), "--json", f"--out={place}"],
        capture_output=True,
        text=True,
        check=False,
    )
    whole = time.monotonic() - began
    if done.returncode != 0:
        sys.exit(f"The submission was not accepted: {done.stdout[-500:]} {done.stderr[-500:]}")
    document = json.loads(done.stdout)
    commands = sum(command["seconds"] for command in document["commands"])
    inside = sum(step["seconds"] for step in document["checks"])
    return {
        "whole": whole,
        "commands": commands,
        "overhead": whole - commands,
        "steps": inside - commands,
        "start, evidence, exit": whole - inside,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="after one that warms up")
    parser.add_argument("--submission", type=Path, help="another one than that of `fuxian new`")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuxian-overhead-") as temporary:
        place = Path(temporary)
        os.environ.setdefault("FUXIAN_CONFIG", str(place / "config"))
        folder = given.submission or place / "demo"
        if given.submission is None:
            command = [sys.executable, "-m", "fuxian.cli.main", "new", str(folder)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        one_round(folder, place / "runs")
        rounds = [one_round(folder, place / "runs") for _ in range(given.rounds)]
    table = {
        name: {"median": statistics.median(values), "least": min(values), "most": max(values)}
        for name in rounds[0]
        if (values := [one[name] for one in rounds])
    }
    if given.json:
        print(json.dumps({"goal_seconds": GOAL, "rounds": given.rounds, "seconds": table}))
        return
    print(f"{'seconds, ' + str(given.rounds) + ' rounds':<26}{'median':>9}{'least':>9}{'most':>9}")
    for name, row in table.items():
        print(f"{name:<26}" + "".join(f"{row[column]:9.2f}" for column in ("median", "least", "most")))
    print(f"goal for the overhead: under {GOAL:.0f} s")


if __name__ == "__main__":
    main()
