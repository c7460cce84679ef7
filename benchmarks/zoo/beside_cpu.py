"""Makes torchvision's wheel of PyPI importable beside a CPU build of PyTorch: import it before torchvision.

The wheel is built for a CUDA build. Its compiled operators are missing then, which no classifier uses; the import needs
two of their schemas.
"""

from __future__ import annotations

import torch

SCHEMAS = torch.library.Library("torchvision", "FRAGMENT")
if not hasattr(torch.ops.torchvision, "nms"):
    SCHEMAS.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    SCHEMAS.define(
        "qnms(Tensor dets, Tensor scores, float iou_threshold, Tensor scale, Tensor point) -> Tensor"
    )
