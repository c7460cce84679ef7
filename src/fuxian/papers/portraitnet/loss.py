"""Cross entropy of the mask with the two auxiliary losses (paper, sections 3.2 and 3.3).

Shape legend: N pictures, K classes, H and W height and width.
"""

from __future__ import annotations

import paddle
from paddle import Tensor

IGNORED = 255
GAMMA = 2
"""The focusing parameter of equation 2."""


def log_probabilities(logits_NKHW: Tensor) -> Tensor:
    """The logarithm of the softmax. Paddle's own on the CPU takes no logit to be more than 64 below the highest."""
    return logits_NKHW - paddle.logsumexp(logits_NKHW, 1, keepdim=True)


def of_class(values_NKHW: Tensor, classes_NHW: Tensor) -> Tensor:
    """[N, H, W]: in each pixel the value of its class, 0 or 1. With two classes no gather is needed."""
    second = classes_NHW.astype(values_NKHW.dtype)
    return values_NKHW[:, 0] * (1 - second) + values_NKHW[:, 1] * second


def mask_loss(logits_NKHW: Tensor, mask_NHW: Tensor) -> Tensor:
    """Equation 1: the mean cross entropy over the pixels that are not ``IGNORED``."""
    counted = mask_NHW != IGNORED
    own = of_class(
        log_probabilities(logits_NKHW), paddle.where(counted, mask_NHW, paddle.zeros_like(mask_NHW))
    )
    counted = counted.astype(own.dtype)
    return -(own * counted).sum() / counted.sum()


def edge_loss(logits_NKHW: Tensor, edge_NHW: Tensor) -> Tensor:
    """Equation 2: the mean focal loss. The weight (1 - p)^gamma has no gradient, as in the official code."""
    own = of_class(log_probabilities(logits_NKHW), edge_NHW)
    return -((1 - own.detach().exp()) ** GAMMA * own).mean()


def consistency_loss(logits_NKHW: Tensor, original_NKHW: Tensor) -> Tensor:
    """Equation 3: KL divergence of what is said of the augmented picture from what is said of the original.

    The original's has no gradient. The mean is over all N K H W elements, as in the official code.
    """
    teacher = log_probabilities(original_NKHW.detach())
    return (teacher.exp() * (teacher - log_probabilities(logits_NKHW))).mean()
