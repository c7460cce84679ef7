"""MAML's experiments as recipes (Finn et al., ICML 2017, sections 5.1 and 5.2, appendix A.1).

fuxian reproduce maml/sinusoid-10shot
fuxian reproduce maml/omniglot-5way-1shot
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import paddle

from fuxian.papers.maml import loss
from fuxian.papers.maml.adapt import adapt
from fuxian.papers.maml.data import OmniglotEpisodes, SinusoidTasks, Split, omniglot_episodes
from fuxian.papers.maml.model import OmniglotNet, SinusoidNet
from fuxian.recipe import Recipe

Gradients = Literal["second-order", "first-order", "none"]

META_LEARNING_RATE = 1e-3
TEST_STEPS = 10
TEST_TASKS = 600
TEST_SEED = 1_000_000
"""Test tasks are drawn from a stream of their own, the same for every run."""


@dataclass(frozen=True)
class Setting:
    """One experiment's numbers: official main.py's usage lines, and the paper's appendix A.1."""

    tasks: int
    shots: int
    step_size: float
    train_steps: int = 1
    ways: int = 0
    """0 marks the sinusoid."""


SETTINGS = {
    "sinusoid-10shot": Setting(tasks=25, shots=10, step_size=0.01),
    "omniglot-5way-1shot": Setting(tasks=32, ways=5, shots=1, step_size=0.4),
    "omniglot-5way-5shot": Setting(tasks=32, ways=5, shots=5, step_size=0.4),
}


def recipe(
    claim: str = "sinusoid-10shot",
    *,
    seed: int = 0,
    iterations: int = 1,
    eval_split: Split = "test",
    gradients: Gradients = "second-order",
) -> Recipe:
    """The recipe of a claim.

    Args:
        claim: a key of ``SETTINGS``.
        seed: of the stream of training tasks.
        iterations: the length of that stream.
        eval_split: characters that evaluation tasks are made of; the sinusoid's tasks are endless and ignore it.
        gradients: ``second-order`` is MAML; ``first-order`` the paper's approximation (section 5.2); ``none``
            trains without inner steps, the baseline whose adaptation only starts at test time (section 5.1's
            "pretrained"), and needs no inner gradient.
    """
    setting = SETTINGS[claim]
    train_steps = 0 if gradients == "none" else setting.train_steps

    def forward(model, inputs):
        """Outputs [S, T, B, ...]: after the last step in training, before and after each of 10 in evaluation."""
        support_x, support_y, query_x = inputs

        def trajectory(steps):
            return adapt(
                model,
                (support_x, support_y),
                steps=steps,
                step_size=setting.step_size,
                second_order=gradients == "second-order",
            )

        if model.training:
            return model.predict(trajectory(train_steps)[-1], query_x).unsqueeze(0)
        with paddle.no_grad():
            return paddle.stack([model.predict(weights, query_x) for weights in trajectory(TEST_STEPS)])

    def optimizer(model):
        return paddle.optimizer.Adam(META_LEARNING_RATE, parameters=model.parameters()), None

    if setting.ways == 0:
        return Recipe(
            model=SinusoidNet,
            train_data=lambda: SinusoidTasks(iterations, setting.tasks, setting.shots, seed=seed),
            eval_data=lambda: SinusoidTasks(TEST_TASKS // 25, 25, setting.shots, seed=TEST_SEED),
            forward=forward,
            loss=loss.mean_squared_error,
            optimizer=optimizer,
            metric=lambda: loss.PerTask("mse"),
            higher_order=True,
        )

    def episodes(split: Split, length: int, tasks: int, stream: int) -> OmniglotEpisodes:
        return omniglot_episodes(
            split, length=length, tasks=tasks, ways=setting.ways, shots=setting.shots, seed=stream
        )

    return Recipe(
        model=lambda: OmniglotNet(setting.ways),
        train_data=lambda: episodes("train", iterations, setting.tasks, seed),
        eval_data=lambda: episodes(eval_split, TEST_TASKS // 25, 25, TEST_SEED),
        forward=forward,
        loss=loss.cross_entropy,
        optimizer=optimizer,
        metric=lambda: loss.PerTask("accuracy"),
        higher_order=True,
    )
