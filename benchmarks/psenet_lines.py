"""Why PSENet grows kernels: lines that stand close, told apart or merged: python benchmarks/psenet_lines.py

Pictures of rendered lines of text, one close above the other, 0 to 2 pixels apart. The maps are ideal: the labels
themselves, at a quarter of the size and scaled up bilinearly as the network's are, so that what is measured is the
expansion and nothing else. ``n = 7`` grows instances through all kernels, ``n = 1`` takes the text map's connected
components. The figure is ICDAR's hmean at IoU 0.5, the gain's 95 % interval a bootstrap over the pictures.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from fuxian.papers.psenet import labels, protocol
from fuxian.papers.psenet.detect import detect
from fuxian.papers.psenet.predict import drawn
from fuxian.papers.psenet.rendered import FONTS, LETTERS, font, ground

SIDE = 320


def lines(rng: np.random.Generator) -> tuple[np.ndarray, list[np.ndarray]]:
    """A picture, uint8 [320, 320, 3], of one turned block of lines, and each line's quadrilateral."""
    face = font(FONTS[int(rng.integers(len(FONTS)))], int(rng.integers(20, 34)))
    texts = [
        "".join(rng.choice(list(LETTERS), int(rng.integers(6, 14)))) for _ in range(int(rng.integers(3, 7)))
    ]
    top, boxes = 0, []
    page = Image.new("L", (SIDE, SIDE), 0)
    for text in texts:
        left, above, right, below = map(int, face.getbbox(text))
        ImageDraw.Draw(page).text((20 - left, 60 + top - above), text, fill=255, font=face)
        boxes.append((20, 60 + top, 20 + right - left, 60 + top + below - above))
        top += below - above + int(rng.integers(0, 3))
    turn = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), float(rng.uniform(-12, 12)), 1)
    share = cv2.warpAffine(np.asarray(page), turn, (SIDE, SIDE))[..., None] / 255
    paper = ground(rng, SIDE) // 3 + 150
    picture = (paper * (1 - share) + np.array([30, 30, 60]) * share).astype(np.uint8)
    polygons = [
        np.array([(x1, y1, 1), (x2, y1, 1), (x2, y2, 1), (x1, y2, 1)]) @ turn.T for x1, y1, x2, y2 in boxes
    ]
    return picture, polygons


def ideal_maps(polygons: list[np.ndarray]) -> np.ndarray:
    """Logits, float32 [7, 320, 320]."""
    maps = labels.draw(polygons, [True] * len(polygons), (SIDE, SIDE))[:-1]
    small = [
        cv2.resize(one.astype(np.float32), (SIDE // 4,) * 2, interpolation=cv2.INTER_AREA) for one in maps
    ]
    return np.stack([10 * (cv2.resize(one, (SIDE, SIDE)) - 0.5) for one in small])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument(
        "--picture", type=Path, help="write one example here: the lines, n = 1 and n = 7 beside each other"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    counts = {1: [], 7: []}
    for number in range(options.count):
        picture, polygons = lines(np.random.default_rng([7, number]))
        logits = ideal_maps(polygons)
        found = {n: detect(logits, (SIDE, SIDE), min_area=16, min_score=0.5, kernels=n) for n in counts}
        for n, ones in found.items():
            judged = protocol.match(polygons, [False] * len(polygons), [one.polygon for one in ones])
            counts[n].append((judged.matched, judged.truths, judged.detections))
        if options.picture and number == 0:
            views = [picture, *(drawn(picture.copy(), found[n]) for n in (1, 7))]
            cv2.imwrite(str(options.picture), np.concatenate(views, axis=1)[..., ::-1])
    table = {n: np.array(rows) for n, rows in counts.items()}

    def hmean(rows: np.ndarray) -> np.ndarray:
        matched, truths, detections = np.moveaxis(rows.sum(-2), -1, 0)
        return 2 * matched / (truths + detections)

    drawn_rows = np.random.default_rng(0).integers(0, options.count, (10000, options.count))
    gains = hmean(table[7][drawn_rows]) - hmean(table[1][drawn_rows])
    low, high = np.quantile(gains, [0.025, 0.975])
    figures = {
        "pictures": options.count,
        "lines": int(table[7][:, 1].sum()),
        "hmean_n1": round(float(hmean(table[1])), 4),
        "hmean_n7": round(float(hmean(table[7])), 4),
        "gain": round(float(hmean(table[7]) - hmean(table[1])), 4),
        "gain_95": [round(float(low), 4), round(float(high), 4)],
        "found_n1": int(table[1][:, 2].sum()),
        "found_n7": int(table[7][:, 2].sum()),
    }
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:10} {value}")


if __name__ == "__main__":
    main()
