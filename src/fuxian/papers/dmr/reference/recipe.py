"""DMR's experiments as PyTorch recipes, part for part the counterpart of the port's recipe.py.

fuxian align run fuxian.papers.dmr.recipe:aligned fuxian.papers.dmr.reference.recipe:aligned
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from fuxian.papers.dmr import recipe as port
from fuxian.papers.dmr.reference.torch_dmr import click_loss, match_loss, network_of
from fuxian.papers.dmr.settings import ALIMAMA, MOVIELENS, MOVIES, Setting, narrow
from fuxian.recipe import Recipe


def on_torch(data: Recipe, setting: Setting) -> Recipe:
    """The same data and metric with model, loss and optimizer of PyTorch."""

    def loss(outputs: dict[str, Tensor], targets: tuple) -> dict[str, Tensor]:
        losses = {"click": click_loss(outputs["click"], targets[0])}
        if "match" not in outputs or not setting.beta:
            return {"total": losses["click"], **losses}
        losses["match"] = match_loss(outputs["match"], targets[1])
        return {"total": losses["click"] + setting.beta * losses["match"], **losses}

    def optimizer(model: nn.Module) -> tuple:
        return torch.optim.Adam(model.parameters(), lr=setting.learning_rate), None

    return replace(
        data,
        model=lambda: network_of(setting.layout, setting.variant),
        loss=data.loss and loss,
        optimizer=data.optimizer and optimizer,
    )


def recipe(
    claim: str = "movielens", *, seed: int = 0, iterations: int = 10, eval_split: str = "test"
) -> Recipe:
    """The reference recipe of the scaled claim; the parameters are those of the port's recipe."""
    made = port.recipe(claim, seed=seed, iterations=iterations, eval_split=eval_split)  # type: ignore[arg-type]
    return on_torch(made, MOVIES)


def aligned(entry: str = "training") -> Recipe:
    """What ``fuxian align`` compares."""
    layout = narrow(ALIMAMA if entry == "sampled" else MOVIELENS)
    return on_torch(port.aligned(entry), Setting(layout))
