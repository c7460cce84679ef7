"""paddle.vision's models against torchvision's of the same name: python benchmarks/zoo.py [--only NAMES] [--mended]
[--json].

Each pair goes through ``fuxian align run PORT REFERENCE --json`` at ten classes and two pictures of 64 to 128 pixels,
with the stages that the model decides: initial values are left out, since each library draws them in its own way and
says so. What was run is kept in ``--state``, and is not run again. With ``--mended`` the models that
differ run once more with the lines of Paddle's sources changed that ``zoo/mends.py`` names: they are then aligned, so
that the causes are complete.

Needs PyTorch (``pip install fuxian[reference]``) and torchvision of its time without its dependencies:
``pip install --no-deps torchvision==0.28.0``. The pairs of one kind take 10 s to 2 minutes each, and up to 8 GB (VGG).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from fuxian.temporary import temporary_folder

sys.path.insert(0, str(Path(__file__).parent / "zoo"))
from mends import MENDS

STAGES = "configuration,eval_data,train_data,forward,loss,backward,training_mode"
"""What the model decides: its parts, outputs, gradients, and running statistics. The optimizer is the recipe's."""
FOLDER = Path(__file__).parent / "zoo"
SHARED = (
    "alexnet",
    *(f"densenet{depth}" for depth in (121, 161, 169, 201)),
    "googlenet",
    "inception_v3",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
    "resnext101_64x4d",
    "resnext50_32x4d",
    *(f"shufflenet_v2_x{width}" for width in ("0_5", "1_0", "1_5", "2_0")),
    "squeezenet1_0",
    "squeezenet1_1",
    *(f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")),
    "wide_resnet101_2",
    "wide_resnet50_2",
)
SAID = ("aligned", "diverged", "inconclusive")
KEPT = ("stage", "place", "reference_place", "cause", "certainty", "evidence", "error")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=SHARED, default=list(SHARED), metavar="NAME")
    parser.add_argument(
        "--state", type=Path, default=Path("runs/zoo.json"), help="what was run, to go on from"
    )
    parser.add_argument(
        "--mended", action="store_true", help="the models that differ, with their sources changed"
    )
    parser.add_argument("--json", action="store_true", help="a list of rows instead of a table")
    options = parser.parse_args()
    state: dict[str, Any] = json.loads(options.state.read_text()) if options.state.is_file() else {}
    options.state.parent.mkdir(parents=True, exist_ok=True)
    names = [f"{n} mended" for n in options.only if n in MENDS] if options.mended else options.only
    for name in names:
        if name not in state:
            state[name] = run(name)
            options.state.write_text(json.dumps(state, indent=1), encoding="utf-8")
            print(line(name, state[name]), file=sys.stderr, flush=True)
    rows = [{"model": name, **state[name]} for name in names]
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(line(row["model"], row))
    same = sum(row["verdict"] == "aligned" for row in rows)
    print(f"{same} of {len(rows)} aligned")


def run(model: str) -> dict[str, Any]:
    """What the command says of one pair: verdict, first divergence, every stage's verdict, seconds."""
    began = time.monotonic()
    command = [
        str(Path(sys.executable).with_name("fuxian")),
        *("align", "run", str(FOLDER / "port.py"), str(FOLDER / "reference.py")),
        *("--stages", STAGES, "--json"),
    ]
    # torch.compile's own start would import operators that are not there.
    name, _, mended = model.partition(" ")
    environment = {
        **os.environ,
        "ZOO_MODEL": name,
        **({"ZOO_MENDED": "1"} if mended else {}),
        "TORCHDYNAMO_DISABLE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with temporary_folder("zoo") as folder:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    try:
        document = json.loads(done.stdout)
    except json.JSONDecodeError:
        document = {"error": (done.stdout + done.stderr)[-1000:]}
    if "error" in document:
        return {"verdict": "error", "said": document["error"], "seconds": round(time.monotonic() - began, 1)}
    first = document.get("first_divergence") or {}
    return {
        "verdict": document["verdict"],
        "stages": {one["stage"]: one["verdict"] for one in document["stages"] if one["verdict"] in SAID},
        "first": {key: first[key] for key in KEPT if key in first},
        "notes": document.get("notes", []),
        "seconds": round(time.monotonic() - began, 1),
    }


def line(name: str, row: dict[str, Any]) -> str:
    first = row.get("first") or {}
    where = (
        f"{first['stage']} {first['place'] or 'the model'}: {first['cause']} ({first['certainty']})"
        if first
        else ""
    )
    said = where or row.get("said", "").strip().splitlines()[-1:] or ""
    return f"{name:26}{row['verdict']:14}{row['seconds']:6.0f} s  {said}"


if __name__ == "__main__":
    main()
