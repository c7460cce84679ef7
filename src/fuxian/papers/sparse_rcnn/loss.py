"""The set loss (paper, section 3.4): at every stage, one proposal for each object, and the others for nothing.

Shape legend: S stages, N pictures, P proposals, C classes, G objects of a picture, M most objects of a picture, K pairs
of a stage in the whole batch.
"""

from __future__ import annotations

import numpy as np
import paddle
import paddle.distributed as dist
import paddle.nn.functional as F
from paddle import Tensor
from scipy.optimize import linear_sum_assignment

from fuxian.papers.sparse_rcnn import boxes

CLASS_WEIGHT, L1_WEIGHT, GIOU_WEIGHT = 2.0, 5.0, 2.0
"""Lambda of equation 1, in the matching's cost and in the loss alike."""
ALPHA, GAMMA = 0.25, 2.0
"""Of the focal loss (Lin et al. 2017)."""
NOTHING = -1
"""The class that fills up the targets of pictures with fewer objects than others."""


def loss(outputs: tuple[Tensor, Tensor], targets: tuple[Tensor, Tensor, Tensor]) -> dict[str, Tensor]:
    """``total`` and, weighted already, ``class_1``, ``l1_1``, ``giou_1`` to those of the last stage.

    ``outputs`` are the model's; ``targets``: the objects' corners [N, M, 4] in pixels, classes [N, M] and the pictures'
    heights and widths [N, 2]. Sums are divided by the number of objects in the batch, at least 1; with several
    processes by their mean number.
    """
    logits_SNPC, boxes_SNP4 = outputs
    true_NM4, classes_NM, sizes_N2 = (target.numpy() for target in targets)
    objects = [true[kind != NOTHING] for true, kind in zip(true_NM4, classes_NM, strict=True)]
    kinds = [kind[kind != NOTHING] for kind in classes_NM]
    pairs = [
        [
            matched(*found, *wanted)
            for found, *wanted in zip(zip(*stage, strict=True), objects, kinds, sizes_N2, strict=True)
        ]
        for stage in zip(logits_SNPC.numpy(), boxes_SNP4.numpy(), strict=True)
    ]
    count = _count(sum(map(len, objects)))
    each = {
        "class": CLASS_WEIGHT * _classes(logits_SNPC, pairs, kinds) / count,
        **_boxes(boxes_SNP4, pairs, objects, sizes_N2, count),
    }
    total = sum(one.sum() for one in each.values())
    stages = range(logits_SNPC.shape[0])
    return {"total": total, **{f"{name}_{s + 1}": one[s] for s in stages for name, one in each.items()}}


def matched(
    logits_PC: np.ndarray,
    boxes_P4: np.ndarray,
    true_G4: np.ndarray,
    classes_G: np.ndarray,
    size: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Proposals and objects, int64 [min(P, G)] each, of the pairs whose costs have the least sum (equation 1).

    Costs that are not finite count as 0: the loss is not finite then either, which the training reports.
    """
    if not len(true_G4):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    with np.errstate(all="ignore"):
        score = 1 / (1 + np.exp(-logits_PC[:, classes_G]))
        there = ALPHA * (1 - score) ** GAMMA * -np.log(score + 1e-8)
        not_there = (1 - ALPHA) * score**GAMMA * -np.log(1 - score + 1e-8)
        scale = np.concatenate([size[::-1], size[::-1]]).astype(boxes_P4.dtype)
        l1 = np.abs((boxes_P4 / scale)[:, None] - (true_G4 / scale)[None]).sum(-1)
        cost = CLASS_WEIGHT * (there - not_there) + L1_WEIGHT * l1
        cost -= GIOU_WEIGHT * boxes.pairwise_giou(boxes_P4, true_G4.astype(boxes_P4.dtype))
    rows, columns = linear_sum_assignment(np.where(np.isfinite(cost), cost, 0.0))
    return rows.astype(np.int64), columns.astype(np.int64)


def _count(objects: int) -> float:
    """The divisor of all losses."""
    if dist.get_world_size() == 1:
        return max(float(objects), 1.0)
    everywhere = paddle.to_tensor([float(objects)])
    dist.all_reduce(everywhere)
    return max(everywhere.item() / dist.get_world_size(), 1.0)


def _classes(logits_SNPC: Tensor, pairs: list, kinds: list[np.ndarray]) -> Tensor:
    """The focal loss of each stage, summed, [S]."""
    wanted_SNPC = np.zeros(logits_SNPC.shape, np.float32)
    for stage, of_stage in enumerate(pairs):
        for picture, (proposals, objects) in enumerate(of_stage):
            wanted_SNPC[stage, picture, proposals, kinds[picture][objects]] = 1
    wanted = paddle.to_tensor(wanted_SNPC).astype(logits_SNPC.dtype)
    score = F.sigmoid(logits_SNPC)
    entropy = F.binary_cross_entropy_with_logits(logits_SNPC, wanted, reduction="none")
    missed = score + wanted - 2 * score * wanted
    weight = ALPHA * wanted + (1 - ALPHA) * (1 - wanted)
    return (weight * entropy * missed**GAMMA).sum([1, 2, 3])


def _boxes(
    boxes_SNP4: Tensor, pairs: list, objects: list[np.ndarray], sizes_N2: np.ndarray, count: float
) -> dict[str, Tensor]:
    """L1 (in parts of the picture) and generalized IoU of each stage's pairs, weighted, [S] each."""
    stages, pictures, proposals = boxes_SNP4.shape[:3]
    places, true, scale = [], [], []
    for stage, of_stage in enumerate(pairs):
        for picture, (rows, columns) in enumerate(of_stage):
            places.append((stage * pictures + picture) * proposals + rows)
            true.append(objects[picture][columns])
            scale.append(np.tile(sizes_N2[picture][[1, 0, 1, 0]], (len(rows), 1)))
    dtype = boxes_SNP4.dtype
    if not sum(map(len, places)):
        none = 0 * boxes_SNP4.sum([1, 2, 3])
        return {"l1": none, "giou": none}
    found_K4 = paddle.index_select(
        boxes_SNP4.reshape([-1, 4]), paddle.to_tensor(np.concatenate(places).astype(np.int64))
    )
    true_K4, scale_K4 = (paddle.to_tensor(np.concatenate(part)).astype(dtype) for part in (true, scale))
    l1 = paddle.abs(found_K4 / scale_K4 - true_K4 / scale_K4).reshape([stages, -1]).sum(1)
    apart = (1 - boxes.giou(found_K4, true_K4)).reshape([stages, -1]).sum(1)
    return {"l1": L1_WEIGHT * l1 / count, "giou": GIOU_WEIGHT * apart / count}
