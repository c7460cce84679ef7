"""Every reproduced claim through a ruling: what `fuxian new --paper PAPER/CLAIM` writes, on terms with a drawn test.

    python benchmarks/paper_rulings.py OUT --only dmr/movielens --json

Of each claim a submission is made for a team, checked with `fuxian check`, and ruled on with `fuxian verify --terms`.
Nothing is waived. Where a claim's terms say more than its name, TERMS has it and why. No checkpoints of the trainings
are committed, so that each is made again whole, bit for bit: PSENet's takes twenty minutes of a core. Seconds are of
the wall and of the processor, memory that of the largest command, all of the whole ruling. Terms, evidence and what was
ruled on stay in OUT, and what is there already is not made again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

FUXIAN = [sys.executable, "-m", "fuxian.cli.main"]
TEAM = [
    *("--team", "The Mixers"),
    *("--number", "42"),
    *("--member", "Ada"),
    *("--email", "ada@mixers.net"),
    *("--repo", "https://github.com/mixers/paper"),
]
TERMS = {
    "arcface/lfw-folds": [],
    "dmr/movielens": [],
    # Trainings start from ImageNet's encoder: weights/mobilenetv2-imagenet.safetensors.
    "portraitnet/portraits": [
        'starting_weights = ["3aa612519db6443a2a48bc357a938ac38e235b0a89e8f2bf29b44dce9fef30d3"]'
    ],
    "psenet/ic15-own-split": [],
    "sparse-rcnn/bccd": [],
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--only", nargs="+", choices=list(TERMS), default=list(TERMS), metavar="PAPER/CLAIM")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = {name: ruled(name, given.out.resolve() / name.replace("/", "-")) for name in given.only}
    if given.json:
        print(json.dumps(found))
        return
    print(f"{'claim':<24}{'verdict':<14}{'figure':>8}{'wall s':>9}{'cpu s':>8}{'GB':>6}  reason")
    for name, one in found.items():
        figure = "" if one["figure"] is None else f"{one['figure']:.4f}"
        print(
            f"{name:<24}{one['verdict']:<14}{figure:>8}{one['wall_seconds']:>9.0f}{one['cpu_seconds']:>8.0f}"
            f"{one['peak_gb']:>6.1f}  {one['reason']} {one['detail'] or ''}"
        )


def ruled(name: str, out: Path) -> dict:
    """What came of the ruling on a claim."""
    if not (out / "evidence.json").is_file():
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        rule(name, out)
    document = json.loads((out / "evidence.json").read_text(encoding="utf-8"))
    commands = document.get("commands", [])
    return {
        **{part: document.get(part) for part in ("verdict", "reason", "detail", "rung")},
        "figure": (document.get("ruling") or {}).get("value"),
        "wall_seconds": document["seconds"],
        "cpu_seconds": sum(one["cpu_seconds"] or 0 for one in commands),
        "peak_gb": max((one["peak_memory"] or 0 for one in commands), default=0) / 1e9,
    }


def rule(name: str, out: Path) -> None:
    """Makes the submission and has it ruled on; ``evidence.json`` has what came of it."""
    folder, terms = out / "submission", out / "terms.toml"
    paper, claim = name.split("/")
    lines = [f'paper = "{paper}"', f'claim = "{claim}"', *TERMS[name]]
    terms.write_text("\n".join(lines) + "\n", encoding="utf-8")
    subprocess.run([*FUXIAN, "new", str(folder), "--paper", name, *TEAM], check=True, stdout=sys.stderr)
    subprocess.run([*FUXIAN, "check", str(folder)], check=True, stdout=sys.stderr)
    command = [*FUXIAN, "verify", str(folder), "--terms", str(terms), "--json", "--out", str(out / "runs")]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    (out / "evidence.json").write_bytes(done.stdout)


if __name__ == "__main__":
    main()
