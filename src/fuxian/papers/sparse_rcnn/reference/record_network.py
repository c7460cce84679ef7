"""Runs the official detector on the case's batch in float64 and records losses, outputs and gradients, as sketches.

    pip install --no-deps torchvision==0.28.0 fvcore iopath yacs portalocker tabulate termcolor
    python -m fuxian.papers.sparse_rcnn.reference.record_network CHECKOUT

CHECKOUT is a clone of github.com/PeizeSun/SparseR-CNN. Its files run as they are, the detectron2 that it brings too,
with these stand-ins for what a CPU of today lacks or what is not float64:

- an old name in Pillow that it uses is given back;
- ``detectron2._C``, the compiled part, is empty: nothing here calls it;
- torchvision's RoIAlign is its own Python version, with the two things that the compiled one has besides: no gradient
  for the boxes, and 0 for samples that lie more than a pixel outside the map;
- ``Boxes`` keeps float64, and so does fvcore's focal loss, run as Python: both cast to float32.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save_file

from fuxian.papers.sparse_rcnn.reference import network_case

REPO = "https://github.com/PeizeSun/SparseR-CNN"
LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
"""Where operators that the compiled part would bring are declared; it must outlive the run."""
RECORD = Path(__file__).with_name("network.safetensors")


def stand_ins() -> None:
    """What must be there before the official code is imported."""
    for name in ("nms", "qnms"):
        LIBRARY.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision  # type: ignore[import-not-found]

    # The official code reads the first three characters as a number.
    torchvision.__version__ = "0.9.0"
    original = sys.modules["torchvision.ops.roi_align"]._roi_align

    def python_version(maps, boxes, size, scale, samples, aligned):
        """Every sample by itself; those that the compiled version takes for 0 are masked, then the cells averaged."""
        height, width = maps.shape[2:]
        fine = [side * samples for side in size]
        rows = boxes.detach()
        taken = original(maps, rows, scale, *fine, 1, aligned)
        low, high = (rows[:, part] * scale - 0.5 * aligned for part in (slice(1, 3), slice(3, 5)))
        x, y = (
            low[:, [axis]] + (torch.arange(count) + 0.5) / count * (high - low)[:, [axis]]
            for axis, count in ((0, fine[1]), (1, fine[0]))
        )
        inside = ((y >= -1) & (y <= height))[:, :, None] & ((x >= -1) & (x <= width))[:, None, :]
        return torch.nn.functional.avg_pool2d(taken * inside[:, None], samples)

    torchvision.ops.roi_align = python_version
    sys.modules["detectron2._C"] = ModuleType("detectron2._C")
    Image.LINEAR = Image.BILINEAR  # type: ignore[attr-defined]


def official_detector(checkout: Path) -> torch.nn.Module:
    stand_ins()
    sys.path[:0] = [str(checkout), str(checkout / "projects" / "SparseRCNN")]
    import detectron2  # type: ignore[import-not-found]
    import fvcore.nn  # type: ignore[import-not-found]

    torch.Tensor.float = torch.Tensor.double
    fvcore.nn.sigmoid_focal_loss_jit = fvcore.nn.sigmoid_focal_loss
    detectron2._C = sys.modules["detectron2._C"]
    from detectron2.config import get_cfg  # type: ignore[import-not-found]
    from detectron2.structures import Boxes  # type: ignore[import-not-found]
    from sparsercnn import SparseRCNN, add_sparsercnn_config  # type: ignore[import-not-found]

    def keeps_its_dtype(self, tensor):
        self.tensor = tensor.reshape(-1, 4)

    Boxes.__init__ = keeps_its_dtype
    settings = get_cfg()
    add_sparsercnn_config(settings)
    settings.merge_from_file(str(checkout / "projects" / "SparseRCNN" / "configs" / network_case.CONFIG))
    settings.MODEL.DEVICE = "cpu"
    return SparseRCNN(settings)


def batch() -> list[dict[str, Any]]:
    """The case's batch in detectron2's form."""
    from detectron2.structures import Boxes, Instances

    made = []
    for picture, (corners, classes) in zip(network_case.pictures(), network_case.objects(), strict=True):
        instances = Instances(picture.shape[1:])
        instances.gt_boxes, instances.gt_classes = Boxes(torch.tensor(corners)), torch.tensor(classes)
        made.append({"image": torch.tensor(picture), "instances": instances})
    return made


def main() -> None:
    checkout = Path(sys.argv[1])
    git = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    torch.set_default_dtype(torch.float64)
    network = official_detector(checkout)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            value.copy_(torch.from_numpy(network_case.drawn_weight(name, tuple(value.shape))))
    network.train()
    seen: list[Any] = []
    network.head.register_forward_hook(lambda module, inputs, outputs: seen.extend(outputs))
    losses = network(batch())
    sum(losses.values()).backward()
    logits, boxes = seen
    stages = len(logits)
    found = {"logits": logits.detach().numpy(), "boxes": boxes.detach().numpy()}
    for official, own in (("loss_ce", "class"), ("loss_bbox", "l1"), ("loss_giou", "giou")):
        for stage in range(stages):
            value = losses[official if stage == stages - 1 else f"{official}_{stage}"]
            found[f"loss.{own}_{stage + 1}"] = value.detach().numpy()
    found["loss.total"] = np.array(sum(value.item() for value in losses.values()))
    for name, parameter in network.named_parameters():
        if parameter.grad is not None:
            found[f"gradient.{name}"] = parameter.grad.numpy()
    about = {
        "repo": REPO,
        "commit": commit,
        "command": "python -m fuxian.papers.sparse_rcnn.reference.record_network CHECKOUT",
        "torch": torch.__version__,
    }
    save_file(network_case.sketches(found), RECORD, metadata=about)
    sides = np.sqrt(np.prod(found["boxes"][..., 2:] - found["boxes"][..., :2], axis=-1))
    levels = np.clip(np.floor(4 + np.log2(sides / 224 + 1e-8)), 2, 5)
    print({name: float(value) for name, value in found.items() if name.startswith("loss.")})
    print("boxes by level", dict(zip(*np.unique(levels, return_counts=True), strict=True)))
    print(sum(name.startswith("gradient.") for name in found), "gradients")


if __name__ == "__main__":
    main()
