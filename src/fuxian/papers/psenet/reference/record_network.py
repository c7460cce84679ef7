"""Records what the official network and loss compute in float64 on the generated weights and batch.

    git clone -b python3 https://github.com/whai362/PSENet
    (cd PSENet/models/post_processing/pse && python setup.py build_ext --inplace)
    python -m fuxian.papers.psenet.reference.record_network PSENet

Writes network.safetensors beside this file. Two things are changed, since each alone moves gradients by more than
1e-9: the official loss turns labels into float32, here ``Tensor.float`` gives float64; and batch normalisation adds
1e-5 as float32 has it (2.5e-13 less), for Paddle keeps that number in float32 even where all else is float64.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

from fuxian.papers.psenet.reference import network_case
from fuxian.papers.psenet.reference.record_expansion import COMMIT, REPO

RECORD = Path(__file__).with_name("network.safetensors")


class _Settings(dict):
    __getattr__ = dict.__getitem__


def official_network(folder: Path) -> torch.nn.Module:
    sys.path[:0] = [str(folder), str(folder / "models" / "post_processing" / "pse")]
    from models.psenet import PSENet  # type: ignore[import-not-found]

    return PSENet(
        backbone=_Settings(type="resnet50", pretrained=False),
        neck=_Settings(type="FPN", in_channels=(256, 512, 1024, 2048), out_channels=128),
        detection_head=_Settings(
            type="PSENet_Head",
            in_channels=1024,
            hidden_dim=256,
            num_classes=7,
            loss_text=_Settings(type="DiceLoss", loss_weight=0.7),
            loss_kernel=_Settings(type="DiceLoss", loss_weight=0.3),
        ),
    )


def main() -> None:
    torch.Tensor.float = torch.Tensor.double
    network = official_network(Path(sys.argv[1])).double()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.eps = float(np.float32(layer.eps))
    own = network.state_dict()
    shapes = {name: tuple(value.shape) for name, value in own.items() if value.dim()}
    made = network_case.weights(shapes)
    network.load_state_dict({name: torch.tensor(made[name]) if name in made else own[name] for name in own})
    pictures, *targets = map(torch.tensor, network_case.batch())
    seen: list[torch.Tensor] = []
    upsample = network._upsample

    def kept(*arguments, **names):
        seen.append(upsample(*arguments, **names))
        return seen[-1]

    network._upsample = kept
    network.eval()
    with torch.no_grad():
        f = network.fpn(*network.backbone(pictures))
        kept(network.det_head(torch.cat(f, 1)), pictures.size())
    network.train()
    losses = network(pictures, *targets, None, _Settings(report_speed=False))
    total = losses["loss_text"].mean() + losses["loss_kernels"].mean()
    total.backward()
    found = {
        "eval": seen[0].numpy(),
        "train": seen[1].detach().numpy(),
        "loss.text": losses["loss_text"].mean().detach().numpy(),
        "loss.kernels": losses["loss_kernels"].mean().detach().numpy(),
        "loss.total": total.detach().numpy(),
    }
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None  # noqa: S101
        found[f"gradient.{name}"] = parameter.grad.numpy()
    about = {
        "repo": REPO,
        "commit": COMMIT,
        "command": "python -m fuxian.papers.psenet.reference.record_network PSENet",
        "torch": torch.__version__,
    }
    save_file(network_case.sketches(found), RECORD, metadata=about)


if __name__ == "__main__":
    main()
