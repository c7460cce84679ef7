"""Runs the official PyTorch code on the parity cases and records what it computes, as sketches.

python -m fuxian.papers.arcface.reference.official CHECKOUT [CASE ...]

CHECKOUT is a clone of github.com/deepinsight/insightface. Its networks, margin loss, PartialFC_V2 and schedule run as
they are, on the CPU: ``Tensor.cuda`` does nothing, and one process is a group of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from fuxian.align.sketch import sketch
from fuxian.papers.arcface.reference.cases import (
    CASES,
    CLASSES,
    LEARNING_RATE,
    STEPS,
    Case,
    batch,
    drawn_weight,
)
from fuxian.weights import save_tensors

HERE = Path(__file__).parent / "official"
REPO = "https://github.com/deepinsight/insightface"


def build(case: Case, dtype: torch.dtype) -> tuple[torch.nn.Module, torch.nn.Module]:
    """The official network and PartialFC_V2, with the case's weights."""
    from backbones import iresnet, mobilefacenet  # type: ignore[import-not-found]
    from losses import CombinedMarginLoss  # type: ignore[import-not-found]
    from partial_fc_v2 import PartialFC_V2  # type: ignore[import-not-found]

    torch.set_default_dtype(dtype)
    if case.network == "mbf":
        network = mobilefacenet.get_mbf(False, 512)
    else:
        iresnet.IResNet.fc_scale = (case.side // 16) ** 2
        network = getattr(iresnet, f"iresnet{case.network[1:]}")()
    margin = case.margin
    head = PartialFC_V2(CombinedMarginLoss(margin.scale, margin.m1, margin.m2, margin.m3), 512, CLASSES)
    for prefix, module in (("", network), ("head.", head)):
        with torch.no_grad():
            for name, value in module.state_dict().items():
                if name != "features.weight" and not name.endswith("num_batches_tracked"):
                    value.copy_(torch.from_numpy(drawn_weight(prefix + name, tuple(value.shape))))
    return network.train(), head.train()


def one_batch(case: Case) -> dict[str, np.ndarray]:
    """Embeddings, loss and all gradients of one batch in float64."""
    network, head = build(case, torch.float64)
    pictures, labels = batch(case)
    embeddings = network(torch.from_numpy(pictures))
    loss = head(embeddings, torch.from_numpy(labels))
    loss.backward()
    found = {"embeddings": sketch(embeddings.detach().numpy()), "loss": np.array(loss.item())}
    for prefix, module in (("", network), ("head.", head)):
        for name, parameter in module.named_parameters():
            if parameter.grad is not None:
                found[f"gradient/{prefix}{name}"] = sketch(parameter.grad.numpy())
    return found


def some_steps(case: Case, dtype: torch.dtype) -> tuple[np.ndarray, np.ndarray]:
    """The losses of the first steps of the official training, and the L2 norm of the network's weights after them."""
    from lr_scheduler import PolynomialLRWarmup  # type: ignore[import-not-found]

    network, head = build(case, dtype)
    groups = [{"params": network.parameters()}, {"params": head.parameters()}]
    optimizer = torch.optim.SGD(groups, lr=LEARNING_RATE, momentum=0.9, weight_decay=5e-4)
    # Base classes have lost the argument `verbose`, which this schedule passes on.
    base = torch.optim.lr_scheduler.LRScheduler
    base_init = base.__init__
    base.__init__ = lambda self, optimizer, last_epoch=-1, verbose=False: base_init(
        self, optimizer, last_epoch
    )
    schedule = PolynomialLRWarmup(optimizer, warmup_iters=0, total_iters=2 * STEPS)
    base.__init__ = base_init
    losses = []
    for step in range(STEPS):
        pictures, labels = batch(case, step)
        loss = head(network(torch.from_numpy(pictures).to(dtype)), torch.from_numpy(labels))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        losses.append(loss.item())
    weights = torch.cat([p.detach().flatten().double() for p in network.parameters()])
    return np.array(losses), np.array(weights.norm().item())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=Path)
    parser.add_argument("cases", nargs="*", default=list(CASES))
    asked = parser.parse_args()
    git = ["git", "-C", str(asked.checkout), "rev-parse", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    sys.path.insert(0, str(asked.checkout / "recognition" / "arcface_torch"))
    torch.Tensor.cuda = lambda self, *_: self
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": "0", "RANK": "0", "WORLD_SIZE": "1"}
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    HERE.mkdir(exist_ok=True)
    for name in asked.cases:
        found = one_batch(CASES[name])
        if name in ("r18", "mbf"):
            for dtype in ("float32", "float64"):
                losses, norm = some_steps(CASES[name], getattr(torch, dtype))
                found |= {f"steps/{dtype}/losses": losses, f"steps/{dtype}/weights": norm}
        about = {
            "repo": REPO,
            "commit": commit,
            "command": f"python -m fuxian.papers.arcface.reference.official CHECKOUT {name}",
            "torch": torch.__version__,
        }
        save_tensors(HERE / f"{name}.safetensors", found, about)
        print(name, float(found["loss"]), flush=True)


if __name__ == "__main__":
    main()
