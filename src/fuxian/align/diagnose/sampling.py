"""Sampling from pictures and alignment of sequences, in numpy float64: affine_grid, grid_sample, roi_align, CTC."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special


def affine_grid(theta: np.ndarray, size: list[int], align_corners: bool) -> np.ndarray:
    """Sampling places (N, H, W, 2) in [-1, 1] of the affine maps ``theta`` (N, 2, 3)."""
    height, width = int(size[-2]), int(size[-1])

    def places(count: int) -> np.ndarray:
        ends = np.linspace(-1.0, 1.0, count) if count > 1 else np.zeros(1)
        return ends if align_corners else ends * (count - 1) / count

    y, x = np.meshgrid(places(height), places(width), indexing="ij")
    base = np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3)
    return (base @ theta.transpose(0, 2, 1)).reshape(len(theta), height, width, 2)


def grid_sample(
    x: np.ndarray, grid: np.ndarray, mode: str, padding_mode: str, align_corners: bool
) -> np.ndarray:
    """``x`` (N, C, H, W) at ``grid`` (N, h, w, 2), bilinear or nearest."""
    if x.ndim != 4 or mode not in ("bilinear", "nearest"):
        raise ValueError("no kernel")
    sizes = x.shape[3], x.shape[2]
    at = []
    for axis, size in enumerate(sizes):
        place = grid[..., axis]
        place = (place + 1) / 2 * (size - 1) if align_corners else ((place + 1) * size - 1) / 2
        if padding_mode == "border":
            place = np.clip(place, 0, size - 1)
        elif padding_mode == "reflection":
            place = _reflected(place, size, align_corners)
        at.append(place)
    if mode == "nearest":
        return _gathered(x, np.rint(at[1]).astype(int), np.rint(at[0]).astype(int))
    low = [np.floor(place).astype(int) for place in at]
    share = [place - floor for place, floor in zip(at, low, strict=True)]
    out = np.zeros((*x.shape[:2], *grid.shape[1:3]))
    for dy in (0, 1):
        for dx in (0, 1):
            weight = (share[1] if dy else 1 - share[1]) * (share[0] if dx else 1 - share[0])
            out += weight[:, None] * _gathered(x, low[1] + dy, low[0] + dx)
    return out


def _reflected(place: np.ndarray, size: int, align_corners: bool) -> np.ndarray:
    low, span = (0.0, float(size - 1)) if align_corners else (-0.5, float(size))
    if span == 0:
        return np.zeros_like(place)
    turned = np.abs(place - low) % (2 * span)
    return np.clip(np.where(turned > span, 2 * span - turned, turned) + low, 0, size - 1)


def _gathered(x: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Elements (N, C, h, w) at whole places, zero outside."""
    inside = (rows >= 0) & (rows < x.shape[2]) & (columns >= 0) & (columns < x.shape[3])
    n = np.arange(len(x))[:, None, None]
    taken = x[n, :, np.clip(rows, 0, x.shape[2] - 1), np.clip(columns, 0, x.shape[3] - 1)]
    return np.moveaxis(taken * inside[..., None], -1, 1)


def roi_align(x: np.ndarray, boxes: np.ndarray, owner: np.ndarray, s: dict[str, Any]) -> np.ndarray:
    """Averages (R, C, h, w) of bilinear samples of ``boxes`` (R, 4), each of the picture ``owner`` of it."""
    size = s["output_size"]
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    ratio, shift = int(s.get("sampling_ratio", -1)), 0.5 if s.get("aligned", True) else 0.0
    out = np.zeros((len(boxes), x.shape[1], height, width))
    for r, (box, n) in enumerate(zip(boxes * float(s.get("spatial_scale", 1.0)) - shift, owner, strict=True)):
        w, h = box[2] - box[0], box[3] - box[1]
        if not s.get("aligned", True):
            w, h = max(w, 1.0), max(h, 1.0)
        counts = [ratio if ratio > 0 else max(int(np.ceil(a / b)), 1) for a, b in ((h, height), (w, width))]
        ys = box[1] + h / height * (np.arange(height * counts[0]) + 0.5) / counts[0]
        xs = box[0] + w / width * (np.arange(width * counts[1]) + 0.5) / counts[1]
        picture = _bilinear(_bilinear(x[int(n)], ys, 1), xs, 2)
        out[r] = picture.reshape(x.shape[1], height, counts[0], width, counts[1]).mean((2, 4))
    return out


def _bilinear(x: np.ndarray, at: np.ndarray, axis: int) -> np.ndarray:
    """Linear samples along one axis, the ends held, nothing beyond one element outside."""
    size = x.shape[axis]
    outside = (at < -1) | (at > size)
    at = np.clip(at, 0, size - 1)
    low = np.minimum(np.floor(at).astype(int), size - 1)
    share = np.where(outside, 0.0, at - low)
    kept = np.where(outside, 0.0, 1.0)
    shape = [-1 if a == axis else 1 for a in range(x.ndim)]
    high = np.minimum(low + 1, size - 1)
    return np.take(x, low, axis) * (kept - share).reshape(shape) + np.take(x, high, axis) * share.reshape(
        shape
    )


def ctc(x: np.ndarray, labels: np.ndarray, steps: np.ndarray, lengths: np.ndarray, blank: int) -> np.ndarray:
    """The negative log likelihood of each sequence (N,): ``x`` (T, N, classes) are logits, or logarithms of
    probabilities, ``labels`` (N, L)."""
    scores = x - special.logsumexp(x, axis=-1, keepdims=True)
    losses = np.zeros(x.shape[1])
    for n in range(x.shape[1]):
        wanted = labels[n, : int(lengths[n])].astype(int)
        states = np.full(2 * len(wanted) + 1, blank)
        states[1::2] = wanted
        skips = np.zeros(len(states), bool)
        skips[2:] = (states[2:] != blank) & (states[2:] != states[:-2])
        alpha = np.full(len(states), -np.inf)
        alpha[:2] = scores[0, n, states[:2]]
        for t in range(1, int(steps[n])):
            one = np.concatenate([[-np.inf], alpha[:-1]])
            two = np.where(skips, np.concatenate([[-np.inf, -np.inf], alpha[:-2]])[: len(alpha)], -np.inf)
            alpha = np.logaddexp(np.logaddexp(alpha, one), two) + scores[t, n, states]
        losses[n] = -special.logsumexp(alpha[-2:])
    return losses
