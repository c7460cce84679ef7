"""The loss of clicks, and the auxiliary loss of the match in its sampled and its full form (equations 8 to 10).

Shape legend: B examples, C classes, M width of the matching vectors, S sampled classes.
"""

from __future__ import annotations

import paddle
from paddle import Tensor
from paddle.nn import functional as F

HIT = -3.4028234663852886e38
"""Added to the logit of a sampled class that is the right one: the most negative float32, as in TensorFlow."""
MOST = 60.0
"""Losses beyond it are computed without Paddle's cross entropy."""


def sampled_logits(
    user_BM: Tensor, vectors_CM: Tensor, right_B: Tensor, sampled_S: Tensor, q_B: Tensor, q_S: Tensor
) -> Tensor:
    """Logits [B, 1 + S] of the right class, then of the sampled ones (Jean et al. 2015, section 3).

    ``q``: logarithms of the expected numbers of draws, which are subtracted so that a class drawn often is not put
    down for it. A sampled class that is an example's right one (an accidental hit) is taken out of its row.
    """
    right_B1 = (user_BM * F.embedding(right_B, vectors_CM)).sum(1, keepdim=True) - q_B.unsqueeze(1)
    others_BS = paddle.matmul(user_BM, F.embedding(sampled_S, vectors_CM), transpose_y=True) - q_S
    hits_BS = (right_B.unsqueeze(1) == sampled_S).astype(others_BS.dtype)
    return paddle.concat([right_B1, others_BS + HIT * hits_BS], 1)


def full_logits(user_BM: Tensor, vectors_CM: Tensor) -> Tensor:
    """Logits [B, C] of all classes, which the sampled form stands for."""
    return paddle.matmul(user_BM, vectors_CM, transpose_y=True)


def match_loss(logits_BC: Tensor, right_B: Tensor) -> Tensor:
    """The mean cross entropy of the right classes."""
    each_B = F.cross_entropy(logits_BC, right_B, reduction="none")
    # On the CPU Paddle's own, five times as fast, ends where a logit is 64 below the highest.
    if float(each_B.max()) > MOST:
        own_B = paddle.take_along_axis(logits_BC, right_B.unsqueeze(1), 1).squeeze(1)
        each_B = paddle.logsumexp(logits_BC, 1) - own_B
    return each_B.mean()


def click_loss(logit_B: Tensor, click_B: Tensor) -> Tensor:
    """The mean cross entropy of clicks, equation 1."""
    return F.binary_cross_entropy_with_logits(logit_B, click_B.astype(logit_B.dtype))
