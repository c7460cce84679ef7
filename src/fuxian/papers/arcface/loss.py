"""The combined margin of equation 4: cross entropy of s (cos(m1 theta + m2) - m3) for the own class, s cos(theta) else.

ArcFace is m2 (equation 3), CosFace m3, SphereFace's multiplicative angle m1. Shape legend: B examples, C classes.
"""

from __future__ import annotations

import paddle
from paddle import Tensor

from fuxian.papers.arcface.settings import Margin


def margin_logits(cosines_BC: Tensor, labels_B: Tensor, margin: Margin) -> Tensor:
    """Logits [B, C] of cosines in [-1, 1]; a row labelled -1 has no own class here and is only scaled."""
    own_BC = (labels_B.unsqueeze(1) == paddle.arange(cosines_BC.shape[1])).astype(cosines_BC.dtype)
    own_B1 = paddle.take_along_axis(cosines_BC, paddle.clip(labels_B, min=0).unsqueeze(1), 1)
    # arccos has no finite slope at -1 and 1; this is the nearest to them that the type can tell from 1.
    edge = 1.0 - paddle.finfo(cosines_BC.dtype).eps
    theta_B1 = paddle.acos(paddle.clip(own_B1, -edge, edge))
    shift_B1 = paddle.cos(margin.m1 * theta_B1 + margin.m2) - margin.m3 - own_B1
    if margin.gradient == "straight-through":
        shift_B1 = shift_B1.detach()
    return margin.scale * (cosines_BC + own_BC * shift_B1)


def margin_loss(cosines_BC: Tensor, labels_B: Tensor, margin: Margin) -> Tensor:
    """The mean cross entropy of ``margin_logits``."""
    return cross_entropy(margin_logits(cosines_BC, labels_B, margin), labels_B)


def cross_entropy(logits_BC: Tensor, labels_B: Tensor) -> Tensor:
    """The mean cross entropy; of plain logits (``LinearHead``), equation 1 without its bias.

    Paddle's own on the CPU takes no logit to be more than 64 below the highest, and with s = 64 two logits lie up to
    128 apart: it reports 64 for a loss of 74.
    """
    own_B = paddle.take_along_axis(logits_BC, labels_B.unsqueeze(1), 1).squeeze(1)
    return (paddle.logsumexp(logits_BC, 1) - own_B).mean()
