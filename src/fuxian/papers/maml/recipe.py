"""MAML's experiments as recipes (Finn et al., ICML 2017, sections 5.1 and 5.2, appendix A.1).

fuxian reproduce maml/sinusoid-10shot
fuxian reproduce maml/omniglot-5way-1shot
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import paddle

from fuxian.papers.maml import loss
from fuxian.papers.maml.adapt import adapt
from fuxian.papers.maml.data import OmniglotEpisodes, SinusoidTasks, Split, omniglot_episodes
from fuxian.papers.maml.model import OmniglotNet, SinusoidNet
from fuxian.papers.maml.settings import (
    META_LEARNING_RATE,
    SETTINGS,
    TEST_SEED,
    Setting,
    for_alignment,
)
from fuxian.recipe import Batch, Recipe

Gradients = Literal["second-order", "first-order", "none"]


def recipe(
    claim: str = "sinusoid-10shot",
    *,
    seed: int = 0,
    iterations: int = 10,
    eval_split: Split = "test",
    gradients: Gradients = "second-order",
    setting: Setting | None = None,
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
        setting: other numbers than the claim's own.
    """
    setting = setting or SETTINGS[claim]
    train_steps = 0 if gradients == "none" else setting.train_steps

    def forward(model, inputs):
        """Outputs [S, T, B, ...]: after the last step in training, before and after each of 10 in evaluation.

        Evaluation differentiates the inner steps once, training twice.
        """
        support_x, support_y, query_x = inputs
        trajectory = adapt(
            model,
            (support_x, support_y),
            steps=train_steps if model.training else setting.test_steps,
            step_size=setting.step_size,
            second_order=model.training and gradients == "second-order",
        )
        evaluated = trajectory[-1:] if model.training else trajectory
        return paddle.stack([model.predict(weights, query_x) for weights in evaluated])

    def optimizer(model):
        return paddle.optimizer.Adam(META_LEARNING_RATE, parameters=model.parameters()), None

    if setting.ways == 0:
        return Recipe(
            model=SinusoidNet,
            train_data=lambda: SinusoidTasks(iterations, setting.tasks, setting.shots, seed=seed),
            eval_data=lambda: evaluation_tasks(setting, TEST_SEED),
            forward=forward,
            loss=loss.mean_squared_error,
            optimizer=optimizer,
            metric=lambda: loss.per_task("mse"),
            higher_order=True,
        )

    return Recipe(
        model=lambda: OmniglotNet(setting.ways),
        train_data=lambda: _episodes(setting, "train", length=iterations, tasks=setting.tasks, seed=seed),
        eval_data=lambda: evaluation_tasks(setting, TEST_SEED, eval_split),
        forward=forward,
        loss=loss.cross_entropy,
        optimizer=optimizer,
        metric=lambda: loss.per_task("accuracy"),
        higher_order=True,
    )


def evaluation_tasks(setting: Setting, seed: int, split: Split = "test") -> Sequence[Batch]:
    """The meta-batches of a setting's evaluation, from the stream ``seed``."""
    length, tasks = setting.test_tasks // setting.test_tasks_at_once, setting.test_tasks_at_once
    if setting.ways == 0:
        return SinusoidTasks(length, tasks, setting.shots, seed=seed)
    return _episodes(setting, split, length=length, tasks=tasks, seed=seed)


def _episodes(setting: Setting, split: Split, *, length: int, tasks: int, seed: int) -> OmniglotEpisodes:
    return omniglot_episodes(
        split,
        length=length,
        tasks=tasks,
        ways=setting.ways,
        shots=setting.shots,
        seed=seed,
        generated=setting.generated,
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
