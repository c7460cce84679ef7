"""Cuts people out of a user's pictures or video, before a blurred or another background."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import numpy as np
import paddle

from fuxian.errors import InputError
from fuxian.papers.contract import Prediction
from fuxian.papers.portraitnet.data import PADDING, normalised
from fuxian.papers.portraitnet.export import load_network
from fuxian.papers.portraitnet.metric import THRESHOLD
from fuxian.papers.portraitnet.model import PortraitNet
from fuxian.papers.portraitnet.settings import SETTINGS
from fuxian.papers.user_files import MAX_SIDE, listed_pictures, read_picture

PATH = """
A picture (PNG, JPEG, BMP) or a folder of pictures of people, head and shoulders; or a video (MP4, AVI, MOV, MKV, WEBM).
"""
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm")
MOST_FRAMES = 20_000
AT_ONCE = 8
Background = Literal["blur", "colour", "none"]


@dataclass(frozen=True)
class Backdrop:
    """What takes the background's place: a picture, uint8 [H, W, 3] RGB, a colour, or the background blurred."""

    kind: Background
    blur: float
    colour: tuple[int, int, int]
    picture: np.ndarray | None

    def behind(self, frame: np.ndarray) -> np.ndarray:
        """uint8 [H, W, 3] in the frame's size."""
        height, width = frame.shape[:2]
        if self.picture is not None:
            return covering(self.picture, width, height)
        if self.kind == "colour":
            return np.broadcast_to(np.array(self.colour, np.uint8), frame.shape)
        if self.kind == "none":
            return frame
        return np.asarray(cv2.GaussianBlur(frame, (0, 0), max(0.5, self.blur * min(height, width))))


def predict(
    claim: str,
    path: Path,
    weights: Path,
    out: Path,
    *,
    background: Annotated[
        Background, "What is behind the person: the background blurred, one colour, or as it is."
    ] = "blur",
    blur: Annotated[float, "Strength of the blur: its deviation, in shorter sides of the picture."] = 0.04,
    colour: Annotated[str, "The colour, as #RRGGBB."] = "#ffffff",
    picture: Annotated[Path | None, "A picture that takes the background's place."] = None,
) -> Prediction:
    """Writes, for each picture, ``<name>.png`` with the person before the new background and ``<name>.mask.png`` with
    the person's probability as grey; for a video ``<name>.mp4`` and ``<name>.first.png``.

    ``<name>`` is the file's with its ending, so that ``a.png`` and ``a.jpg`` do not meet.
    """
    if not 0 <= blur <= 1:
        raise InputError(f"--blur {blur} is no share of the picture's side; give a number from 0 to 1.")
    found = re.fullmatch(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})", colour)
    if found is None:
        raise InputError(f"--colour {colour!r} is no colour; give one as #RRGGBB, such as #00a0e0.")
    red, green, blue = (int(part, 16) for part in found.groups())
    replaced = None if picture is None else np.asarray(read_picture(picture).convert("RGB"))
    backdrop = Backdrop(background, blur, (red, green, blue), replaced)
    network = load_network(claim, weights)
    side = SETTINGS[claim].side
    about: dict[str, Any] = {"background": "picture" if picture else background, "threshold": THRESHOLD}
    if path.suffix.lower() in VIDEOS and not path.is_dir():
        row, views = video(path, network, side, backdrop, out)
        return Prediction(rows=[row], views=views, about=about)
    rows, views = [], []
    for file in listed_pictures(path):
        frame = np.asarray(read_picture(file).convert("RGB"))
        (person,) = people([frame], network, side)
        view, mask = out / f"{file.name}.png", out / f"{file.name}.mask.png"
        _write(view, composed(frame, person, backdrop.behind(frame)))
        _write(mask, np.round(255 * person).astype(np.uint8))
        views.append(view)
        share = float(np.mean(person > THRESHOLD))
        rows.append({"picture": file.name, "person": round(share, 4), "mask": mask.name})
    return Prediction(rows=rows, views=views, about=about)


def people(frames: list[np.ndarray], network: PortraitNet, side: int) -> list[np.ndarray]:
    """The probability of a person, float32 [H, W] each, in frames, uint8 [H, W, 3] RGB."""
    fitted = [fit(frame, side) for frame in frames]
    with paddle.no_grad():
        batch = paddle.to_tensor(np.stack([normalised(inside) for inside, _ in fitted]))
        found = network.foreground(batch).numpy()
    made = []
    for frame, (_, (top, left, height, width)), one in zip(frames, fitted, found, strict=True):
        inside = one[top : top + height, left : left + width]
        size = frame.shape[1], frame.shape[0]
        made.append(np.clip(cv2.resize(inside, size, interpolation=cv2.INTER_LINEAR), 0, 1))
    return made


def fit(frame: np.ndarray, side: int) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """The frame scaled to fit into a grey square of ``side``, and where it is: top, left, height, width."""
    factor = side / max(frame.shape[:2])
    height, width = (max(1, round(factor * length)) for length in frame.shape[:2])
    top, left = (side - height) // 2, (side - width) // 2
    square = np.full((side, side, 3), PADDING, np.uint8)
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    square[top : top + height, left : left + width] = cv2.resize(frame, (width, height), interpolation=way)
    return square, (top, left, height, width)


def composed(frame: np.ndarray, person: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3]: the frame where there is a person, what is behind where there is none, mixed between."""
    share = person[..., None]
    return np.asarray(np.round(frame * share + behind * (1 - share)).astype(np.uint8))


def covering(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """The middle of a picture, scaled so that it covers ``width`` x ``height``."""
    factor = max(width / picture.shape[1], height / picture.shape[0])
    size = max(width, round(picture.shape[1] * factor)), max(height, round(picture.shape[0] * factor))
    large = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    top, left = (size[1] - height) // 2, (size[0] - width) // 2
    return np.asarray(large[top : top + height, left : left + width])


def video(
    path: Path, network: PortraitNet, side: int, backdrop: Backdrop, out: Path
) -> tuple[dict[str, Any], list[Path]]:
    """Writes the video with its background replaced, without sound, and its first frame."""
    if not path.is_file():
        raise InputError(f"{path} is no file; give a video.")
    source = cv2.VideoCapture(str(path.resolve()))
    try:
        width, height = (
            int(source.get(key)) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
        if not source.isOpened() or not 0 < width <= MAX_SIDE or not 0 < height <= MAX_SIDE:
            raise InputError(
                f"{path} cannot be read as a video of at most {MAX_SIDE} x {MAX_SIDE} pixels; save it as MP4 (H.264)."
            )
        rate = source.get(cv2.CAP_PROP_FPS)
        rate = rate if 1 <= rate <= 240 else 25.0
        view, first = out / f"{path.name}.mp4", out / f"{path.name}.first.png"
        target = cv2.VideoWriter(str(view), cv2.VideoWriter.fourcc(*"mp4v"), rate, (width, height))
        count, share = 0, 0.0
        try:
            for frames in _frames(source, path):
                for frame, person in zip(frames, people(frames, network, side), strict=True):
                    made = composed(frame, person, backdrop.behind(frame))
                    target.write(np.ascontiguousarray(made[..., ::-1]))
                    if not count:
                        _write(first, made)
                    count += 1
                    share += float(np.mean(person > THRESHOLD))
        finally:
            target.release()
    finally:
        source.release()
    if not count:
        raise InputError(f"{path} holds no frame that can be read; save it as MP4 (H.264).")
    row = {"video": path.name, "frames": count, "frames_per_second": rate, "person": round(share / count, 4)}
    return row, [view, first]


def _frames(source: cv2.VideoCapture, path: Path) -> Iterator[list[np.ndarray]]:
    """Frames, RGB, some at a time."""
    held: list[np.ndarray] = []
    count = 0
    while True:
        read, frame = source.read()
        if not read:
            break
        count += 1
        if count > MOST_FRAMES:
            raise InputError(f"{path} has more than {MOST_FRAMES} frames; cut it into shorter videos.")
        held.append(np.ascontiguousarray(frame[..., ::-1]))
        if len(held) == AT_ONCE:
            yield held
            held = []
    if held:
        yield held


def _write(file: Path, picture: np.ndarray) -> None:
    cv2.imwrite(str(file), picture if picture.ndim == 2 else picture[..., ::-1])
