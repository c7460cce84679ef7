"""MAML's experiments as PyTorch recipes, part for part the counterpart of the port's recipe.py.

fuxian align run fuxian.papers.maml.recipe:sinusoid fuxian.papers.maml.reference.recipe:sinusoid
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F

from fuxian.papers.maml.data import SinusoidTasks, omniglot_episodes
from fuxian.papers.maml.loss import per_task
from fuxian.papers.maml.reference.torch_maml import OmniglotNet, SinusoidNet, adapt
from fuxian.papers.maml.settings import (
    META_LEARNING_RATE,
    SETTINGS,
    TEST_SEED,
    Setting,
    for_alignment,
)
from fuxian.recipe import Recipe


def recipe(
    claim: str = "sinusoid-10shot",
    *,
    seed: int = 0,
    iterations: int = 10,
    setting: Setting | None = None,
) -> Recipe:
    """The reference recipe of a claim; ``seed`` and ``iterations`` are those of the stream of training tasks."""
    setting = setting or SETTINGS[claim]

    def forward(model, inputs):
        """Outputs [S, T, B, ...], task by task."""
        steps = setting.train_steps if model.training else setting.test_steps
        per_task = []
        for support_x, support_y, query_x in zip(*inputs, strict=True):
            with torch.enable_grad():
                trajectory = adapt(
                    model,
                    (support_x, support_y),
                    steps=steps,
                    step_size=setting.step_size,
                    second_order=model.training,
                )
            evaluated = trajectory[-1:] if model.training else trajectory
            per_task.append(torch.stack([model.predict(weights, query_x) for weights in evaluated]))
        return torch.stack(per_task, dim=1)

    def optimizer(model):
        return torch.optim.Adam(model.parameters(), lr=META_LEARNING_RATE), None

    if setting.ways == 0:
        return Recipe(
            model=SinusoidNet,
            train_data=lambda: SinusoidTasks(iterations, setting.tasks, setting.shots, seed=seed),
            eval_data=lambda: SinusoidTasks(
                setting.test_tasks // setting.test_tasks_at_once,
                setting.test_tasks_at_once,
                setting.shots,
                seed=TEST_SEED,
            ),
            forward=forward,
            loss=lambda outputs, targets: (outputs[-1] - targets[0]).square().mean(),
            optimizer=optimizer,
            metric=lambda: per_task("mse"),
            higher_order=True,
        )

    episodes = partial(omniglot_episodes, ways=setting.ways, shots=setting.shots, generated=setting.generated)

    def loss(outputs, targets):
        (y_TBN,) = targets
        return -(F.log_softmax(outputs[-1], -1) * y_TBN).sum() / (len(y_TBN) * setting.shots)

    return Recipe(
        model=lambda: OmniglotNet(setting.ways),
        train_data=lambda: episodes("train", length=iterations, tasks=setting.tasks, seed=seed),
        eval_data=lambda: episodes(
            "test", length=setting.test_batches, tasks=setting.test_tasks_at_once, seed=TEST_SEED
        ),
        forward=forward,
        loss=loss,
        optimizer=optimizer,
        metric=lambda: per_task("accuracy"),
        higher_order=True,
    )


def aligned(claim: str) -> Recipe:
    """What ``fuxian align`` compares: the claim's recipe on two tasks a batch."""
    return recipe(claim, setting=for_alignment(claim))


def sinusoid() -> Recipe:
    """For ``fuxian align``."""
    return aligned("sinusoid-10shot")


def omniglot() -> Recipe:
    """For ``fuxian align``: Omniglot, 5-way 1-shot."""
    return aligned("omniglot-5way-1shot")
