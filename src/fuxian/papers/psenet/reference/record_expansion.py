"""Records the labels that the official Cython expansion gives on the generated score maps, as hashes.

    git clone -b python3 https://github.com/whai362/PSENet && cd PSENet/models/post_processing/pse
    python setup.py build_ext --inplace
    python -m fuxian.papers.psenet.reference.record_expansion PSENet/models/post_processing/pse

Writes expansion.json beside this file.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

from fuxian.papers.psenet.reference import score_maps

REPO = "https://github.com/whai362/PSENet"
COMMIT = "5a42734dc56df42b7192494933ea8fcb3f486494"
RECORD = Path(__file__).with_name("expansion.json")


def official_pse(folder: Path) -> ModuleType:
    """The official extension module built in ``folder``."""
    (file,) = folder.glob("pse.*.so")
    spec = importlib.util.spec_from_file_location("pse", file)
    assert spec is not None and spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    official = official_pse(Path(sys.argv[1]))
    hashes = []
    for index in range(score_maps.COUNT):
        kernels = score_maps.kernels(index)
        labels = official.pse(kernels.copy(), score_maps.MIN_AREA)
        hashes.append([score_maps.digest(kernels), score_maps.digest(labels)])
    document = {
        "repo": REPO,
        "commit": COMMIT,
        "file": "models/post_processing/pse/pse.pyx",
        "command": "python -m fuxian.papers.psenet.reference.record_expansion PSENet/models/post_processing/pse",
        "min_area": score_maps.MIN_AREA,
        "kernels_and_labels": hashes,
    }
    RECORD.write_text(json.dumps(document, indent=0) + "\n")


if __name__ == "__main__":
    main()
