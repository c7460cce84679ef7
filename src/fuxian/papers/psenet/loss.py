"""PSENet's loss (paper, section 3.3): dice losses of the text and of the kernels, on the hard examples.

Shape legend: N pictures, K kernels, P pixels of a picture (H W).
"""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor

TEXT_WEIGHT = 0.7
"""Lambda of equation 3; the kernels weigh 1 - lambda."""
NEGATIVES = 3
"""Hard negatives for each positive pixel."""
EPSILON = 1e-3
"""Added to each sum of squares, so that an empty picture has a loss."""


def loss(logits_NKHW: Tensor, targets: tuple[Tensor, Tensor, Tensor]) -> dict[str, Tensor]:
    """Equation 3: ``total`` = 0.7 ``text`` + 0.3 ``kernels``, each weighted already, means over the pictures.

    ``targets``: text [N, H, W], kernels [N, K - 1, H, W] and the training mask [N, H, W] (0 where words that cannot
    be read stand), all 0 or 1 of any dtype. The kernels' loss counts the true text's pixels, as the official code
    has it; equation 6 says those that are predicted as text.
    """
    text_NHW, kernels_NKHW, mask_NHW = targets
    count, dtype = logits_NKHW.shape[1] - 1, logits_NKHW.dtype
    # Unbound at once: the gradient of a slice is as large as all maps.
    scores, *kernel_logits = paddle.unbind(logits_NKHW, 1)
    hard = hard_pixels(scores.detach().numpy(), text_NHW.numpy(), mask_NHW.numpy())
    text_NHW, kernels_NKHW, mask_NHW = (target.astype(dtype) for target in targets)

    text = TEXT_WEIGHT * dice(scores, text_NHW, paddle.to_tensor(hard).astype(dtype)).mean()
    inside = text_NHW * mask_NHW
    per_kernel = [dice(kernel_logits[k], kernels_NKHW[:, k], inside) for k in range(count)]
    kernels = (1 - TEXT_WEIGHT) * paddle.stack(per_kernel).mean() if count else 0 * text
    return {"total": text + kernels, "text": text, "kernels": kernels}


def dice(logits_NHW: Tensor, target_NHW: Tensor, mask_NHW: Tensor) -> Tensor:
    """Equation 4: one minus the dice coefficient of sigmoid(logits) and target over the mask, both 0 or 1; [N]."""
    predicted_NP = (F.sigmoid(logits_NHW) * mask_NHW).flatten(1)
    target_NP = (target_NHW * mask_NHW).flatten(1)
    overlap = (predicted_NP * target_NP).sum(1)
    # A target is its own square.
    squares = (predicted_NP**2).sum(1) + EPSILON + (target_NP.sum(1) + EPSILON)
    return 1 - 2 * overlap / squares


def hard_pixels(scores_NHW: np.ndarray, text_NHW: np.ndarray, mask_NHW: np.ndarray) -> np.ndarray:
    """The pixels that the text's loss counts (Shrivastava et al. 2016), bool [N, H, W].

    Of each picture the text's pixels and, for each that can be read, the three background pixels of highest score,
    ties included; of both those where the training mask is set. A picture without readable text, or without
    background, counts all of its training mask.
    """
    chosen = []
    for scores, text, mask in zip(scores_NHW, text_NHW > 0.5, mask_NHW > 0.5, strict=True):
        negatives = scores[~text]
        wanted = min(NEGATIVES * int((text & mask).sum()), negatives.size)
        if wanted:
            threshold = np.partition(negatives, negatives.size - wanted)[negatives.size - wanted]
            chosen.append(mask & (text | (scores >= threshold)))
        else:
            chosen.append(mask)
    return np.stack(chosen)
