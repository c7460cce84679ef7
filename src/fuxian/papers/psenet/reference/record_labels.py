"""Records how the official data set shrinks generated polygons into kernels, as hashes.

    git clone -b python3 https://github.com/whai362/PSENet && pip install Polygon3
    python -m fuxian.papers.psenet.reference.record_labels PSENet

Writes labels.json beside this file. Of dataset/psenet/psenet_ic15.py the functions dist, perimeter and shrink are
run; the imports of mmcv and torchvision, which they do not need, are left out.
"""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyclipper

from fuxian.papers.psenet.labels import shrink_ratio
from fuxian.papers.psenet.reference.record_expansion import COMMIT, REPO
from fuxian.papers.psenet.reference.score_maps import digest

RECORD = Path(__file__).with_name("labels.json")
COUNT = 300
KERNELS = 7
SMALLEST = 0.4
SIDE = 256


def polygons(index: int) -> list[np.ndarray]:
    """Words of one picture, int32 [corners, 2] each: quadrilaterals, curved lines, and degenerate ones."""
    rng = np.random.default_rng([14, index])
    made = []
    for _ in range(int(rng.integers(1, 8))):
        corner = rng.integers(0, SIDE // 2, 2)
        kind = rng.random()
        if kind < 0.5:
            long, short, slant = rng.integers(3, 120), rng.integers(2, 50), rng.integers(-20, 21)
            made.append(corner + np.array([(0, 0), (long, slant), (long, slant + short), (0, short)]))
        elif kind < 0.8:
            steps = np.arange(7) * rng.integers(4, 16)
            bend = (rng.integers(-3, 4) * (np.arange(7) - 3) ** 2).astype(int)
            below = bend + rng.integers(6, 40)
            upper, lower = np.stack([steps, bend], 1), np.stack([steps, below], 1)[::-1]
            made.append(corner + np.concatenate([upper, lower]))
        else:
            made.append(corner + rng.integers(0, 30, (4, 2)))
    return [one.astype(np.int32) for one in made]


def drawn(shrunk: list[np.ndarray]) -> np.ndarray:
    """uint8 [SIDE, SIDE] with the polygons filled."""
    maps = np.zeros((SIDE, SIDE), np.uint8)
    for one in shrunk:
        cv2.drawContours(maps, [one.astype(int).astype(np.int32)], -1, 1, -1)
    return maps


def official_shrink(folder: Path) -> Any:
    source = (folder / "dataset" / "psenet" / "psenet_ic15.py").read_text()
    wanted = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name in ("dist", "perimeter", "shrink")
    ]
    import Polygon  # type: ignore[import-not-found]

    names: dict[str, Any] = {"np": np, "plg": Polygon, "pyclipper": pyclipper, "print": lambda *_: None}
    exec(compile(ast.Module([*wanted], []), "psenet_ic15.py", "exec"), names)  # noqa: S102
    return names["shrink"]


def main() -> None:
    shrink = official_shrink(Path(sys.argv[1]))
    hashes = []
    for index in range(COUNT):
        words = polygons(index)
        maps = [drawn(shrink(words, shrink_ratio(kernel, KERNELS, SMALLEST))) for kernel in range(1, KERNELS)]
        hashes.append(digest(np.stack(maps)))
    document = {
        "repo": REPO,
        "commit": COMMIT,
        "file": "dataset/psenet/psenet_ic15.py",
        "command": "python -m fuxian.papers.psenet.reference.record_labels PSENet",
        "kernels": hashes,
    }
    RECORD.write_text(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
