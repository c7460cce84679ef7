"""DMR's experiments as recipes (Lyu et al., AAAI 2020).

fuxian reproduce dmr/movielens
"""

from __future__ import annotations

from dataclasses import replace

import paddle
from paddle import Tensor, nn

from fuxian.metrics import AreaUnderCurve
from fuxian.papers.dmr import alimama
from fuxian.papers.dmr.data import MadeUpBatches, Split, TestBatches, TrainBatches, clicks
from fuxian.papers.dmr.loss import click_loss, match_loss
from fuxian.papers.dmr.model import network_of
from fuxian.papers.dmr.settings import ALIMAMA, MOVIELENS, MOVIES, PAPER, Sampler, Setting, Variant, narrow
from fuxian.recipe import Recipe

ALIGN_ENTRIES = ("training", "sampled", "clicks")


def recipe(
    claim: str = "movielens",
    *,
    seed: int = 0,
    iterations: int = 10,
    eval_split: Split = "test",
    variant: Variant | None = None,
    sampler: Sampler = "learned-unigram",
    setting: Setting | None = None,
) -> Recipe:
    """The recipe of a claim.

    Args:
        claim: movielens, or a key of ``PAPER``, whose files must be there.
        seed: of the order of the examples, the movies not taken and the sampled classes.
        iterations: steps in all.
        eval_split: the last days, or those before them.
        variant: another one than the claim's own: either network alone, DIN, or logistic regression.
        sampler: of the classes that the auxiliary loss is sampled from, where it is.
        setting: other numbers than the claim's own.
    """
    if setting is None:
        setting = PAPER.get(claim, MOVIES)
    if variant is not None:
        setting = replace(setting, variant=variant)
    setting = replace(setting, sampler=sampler)
    if claim in PAPER:
        return replace(
            parts(setting),
            train_data=lambda: alimama.StreamedBatches(alimama.file_of("alimama.txt"), setting, seed),
            eval_data=lambda: alimama.StreamedBatches(
                alimama.file_of("alimama_test.txt"), setting, seed, training=False
            ),
            metric=metric,
        )
    # Read when it is asked for: whoever only predicts on inputs that are given needs no data set.
    return replace(
        parts(setting),
        train_data=lambda: TrainBatches(clicks(setting.layout), setting.batch, iterations, seed),
        eval_data=lambda: TestBatches(clicks(setting.layout), eval_split),
        metric=metric,
    )


def parts(setting: Setting) -> Recipe:
    """Model, loss and optimizer of a setting: what does not depend on where the examples come from."""

    def loss(outputs: dict[str, Tensor], targets: tuple) -> dict[str, Tensor]:
        losses = {"click": click_loss(outputs["click"], targets[0])}
        if "match" not in outputs or not setting.beta:
            return {"total": losses["click"], **losses}
        losses["match"] = match_loss(outputs["match"], targets[1])
        return {"total": losses["click"] + setting.beta * losses["match"], **losses}

    def optimizer(model: nn.Layer) -> tuple:
        return paddle.optimizer.Adam(setting.learning_rate, parameters=model.parameters()), None

    return Recipe(
        model=lambda: network_of(setting.layout, setting.variant),
        loss=loss,
        optimizer=optimizer,
        batch_size=setting.batch,
    )


def metric() -> AreaUnderCurve:
    """The area over all rows of a test, users the units."""
    return AreaUnderCurve(lambda outputs, targets, meta: (targets[1], outputs["click"], targets[0]))


def aligned(entry: str = "training") -> Recipe:
    """What ``fuxian align`` compares: narrow networks on generated examples, in training (the whole softmax, or a
    sampled one on the official data's fields) or in evaluation."""
    if entry == "sampled":
        setting = Setting(narrow(ALIMAMA), sampled=10, batch=16)
        made = MadeUpBatches(setting, length=4)
        return replace(parts(setting), train_data=lambda: made, eval_data=lambda: made)
    setting = Setting(narrow(MOVIELENS), batch=16)
    known = clicks(setting.layout)
    whole = parts(setting)
    if entry == "clicks":
        test = TestBatches(known, "test")
        return replace(whole, eval_data=lambda: test, metric=metric, loss=None, optimizer=None)
    labelled = TrainBatches(known, setting.batch, length=4, seed=1)
    return replace(whole, train_data=lambda: labelled, eval_data=lambda: labelled)
