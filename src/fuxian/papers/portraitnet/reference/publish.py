"""Makes weights/portraits.safetensors and its log of a finished run: convolutions in float16, BN's numbers in float32.

python -m fuxian.papers.portraitnet.reference.publish RUN
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from fuxian.errors import InputError
from fuxian.papers.portraitnet.recipe import IMAGENET
from fuxian.papers.portraitnet.reference.imagenet import stored
from fuxian.training.checkpoints import latest, weights_of
from fuxian.weights import read, save_tensors

CLAIM = "portraits"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    run = parser.parse_args().run
    newest = latest(run / "checkpoints")
    if newest is None:
        raise InputError(f"{run} has no checkpoint; finish the run.")
    found = read(weights_of(newest))
    save_tensors(IMAGENET.with_name(f"{CLAIM}.safetensors"), stored(found.tensors), found.metadata)
    kept = IMAGENET.with_name(f"{CLAIM}.run")
    kept.mkdir(exist_ok=True)
    for name in ("config.json", "log.jsonl"):
        shutil.copyfile(run / name, kept / name)


if __name__ == "__main__":
    main()
