"""paddle.vision's models against torchvision's of the same name: python benchmarks/zoo.py [--only NAMES] [--mended]
[--json].

Each pair goes through ``fuxian align run PORT REFERENCE --json`` at ten classes and two pictures of 64 to 224 pixels,
with the stages that the model decides: initial values are left out, since each library draws them in its own way and
says so. What was run is kept in ``--state``, and is not run again. With ``--mended`` the models that differ run once
more with the lines of Paddle's sources changed that ``zoo/mends.py`` names: they are then aligned, so that the causes
are complete.

Needs PyTorch (``pip install fuxian[reference]``) and torchvision of its time without its dependencies:
``pip install --no-deps torchvision==0.28.0``. A pair takes 10 s to 3 minutes on one core, and up to 8 GB (VGG).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "zoo"))
from mends import MENDS
from table import options, table

STAGES = "configuration,eval_data,train_data,forward,training_mode"
"""What the model decides: its parts and outputs, and in training its gradients and running statistics. The optimizer is
the recipe's."""
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options(parser, list(SHARED), "runs/zoo.json")
    parser.add_argument(
        "--mended", action="store_true", help="the models that differ, with their sources changed"
    )
    given = parser.parse_args()
    if given.mended:
        pairs = {f"{n} mended": {"ZOO_MODEL": n, "ZOO_MENDED": "1"} for n in given.only if n in MENDS}
    else:
        pairs = {name: {"ZOO_MODEL": name} for name in given.only}
    table(pairs, ("port.py", "reference.py"), STAGES, given)


if __name__ == "__main__":
    main()
