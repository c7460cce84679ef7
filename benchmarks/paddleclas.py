"""PaddleClas' backbones against timm's of the same paper: python benchmarks/paddleclas.py [--only NAMES] [--json].

As ``benchmarks/zoo.py``. timm is a reimplementation too: where a pair differs, the authors' code says who is right.

Needs a copy of https://github.com/PaddlePaddle/PaddleClas (commit d178931, or its newest), named by the environment
variable PADDLECLAS, PyTorch (``pip install fuxian[reference]``), and without their dependencies timm and torchvision:
``pip install --no-deps timm==1.0.31 torchvision==0.28.0``. A pair takes 10 s to 3 minutes on one core.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "zoo"))
from clas_pairs import PAIRS
from table import options, table

STAGES = "configuration,eval_data,forward,backward"
"""In evaluation mode: the rates of dropout and of dropped paths are the recipe's."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options(parser, list(PAIRS), "runs/paddleclas.json")
    given = parser.parse_args()
    pairs = {name: {"ZOO_MODEL": name, "ZOO_SIDE": str(PAIRS[name].side)} for name in given.only}
    table(pairs, ("clas_port.py", "timm_reference.py"), STAGES, given)


if __name__ == "__main__":
    main()
