"""Finds text in a user's pictures and draws its outlines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import paddle

from fuxian.papers.contract import Prediction
from fuxian.papers.psenet.data import normalised, scaled_to_short_side
from fuxian.papers.psenet.detect import Detection, Outline, detect
from fuxian.papers.psenet.model import PSENet
from fuxian.papers.psenet.settings import SETTINGS
from fuxian.papers.user_files import listed_pictures, read_picture
from fuxian.training.checkpoints import load_into

PATH = "A picture (PNG, JPEG, BMP) or a folder of pictures in which text is to be found."
COLOUR = (255, 40, 40)


def predict(
    claim: str,
    path: Path,
    weights: Path,
    out: Path,
    *,
    outline: Annotated[
        Outline, "Rectangles in any direction, or contours that follow curved text."
    ] = "rectangle",
    min_score: Annotated[
        float | None, "Least mean score of what is shown; the claim's own if absent."
    ] = None,
    short_side: Annotated[int | None, "Pictures are scaled to this; the claim's own if absent."] = None,
) -> Prediction:
    """Writes, for each picture, ``<name>.png`` with the outlines drawn, ``<name>.json`` with polygons and scores, and
    ``res_<name>.txt`` in ICDAR's form: one line ``x1,y1,x2,y2,...`` for each outline.

    ``<name>`` is the picture's with its ending, so that ``a.png`` and ``a.jpg`` do not meet.
    """
    setting = SETTINGS[claim]
    model = PSENet(setting.depth, width=setting.width, pyramid=setting.pyramid, kernels=setting.kernels)
    load_into(model, weights)
    model.eval()
    least = setting.min_score if min_score is None else min_score
    rows, views = [], []
    for file in listed_pictures(path):
        picture = np.asarray(read_picture(file).convert("RGB"))
        found = find_text(
            model,
            picture,
            short_side or setting.short_side,
            min_area=setting.min_area,
            min_score=least,
            outline=outline,
        )
        polygons = [one.polygon.tolist() for one in found]
        row = {"picture": file.name, "polygons": polygons, "scores": [round(one.score, 4) for one in found]}
        views.append(out / f"{file.name}.png")
        cv2.imwrite(str(views[-1]), drawn(picture, found)[..., ::-1])
        (out / f"{file.name}.json").write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
        lines = [",".join(map(str, one.polygon.ravel())) + "\n" for one in found]
        (out / f"res_{file.name}.txt").write_text("".join(lines))
        rows.append(row)
    return Prediction(rows=rows, views=views, about={"outline": outline, "min_score": least})


def find_text(
    model: PSENet,
    picture: np.ndarray,
    short_side: int,
    *,
    min_area: float,
    min_score: float,
    outline: Outline = "rectangle",
    kernels: int | None = None,
) -> list[Detection]:
    """The text in a picture, uint8 [H, W, 3] RGB, in its own pixels."""
    with paddle.no_grad():
        logits = model(paddle.to_tensor(normalised(scaled_to_short_side(picture, short_side))[None]))
    return detect(
        logits[0].numpy(),
        (picture.shape[0], picture.shape[1]),
        min_area=min_area,
        min_score=min_score,
        outline=outline,
        kernels=kernels,
    )


def drawn(picture: np.ndarray, found: list[Detection]) -> np.ndarray:
    """A copy of the picture with the outlines on it."""
    copy = np.ascontiguousarray(picture)
    copy = copy.copy() if copy is picture else copy
    width = max(1, min(picture.shape[:2]) // 240)
    for one in found:
        cv2.polylines(copy, [one.polygon], True, COLOUR, width, cv2.LINE_AA)
    return copy
