"""The port on the parity cases: what it computes, beside what the official code computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle

from fuxian.align.sketch import ABSOLUTE, L2, LENGTH, SUM, sketch
from fuxian.papers.dmr.alimama import examples
from fuxian.papers.dmr.model import DMR
from fuxian.papers.dmr.recipe import parts
from fuxian.papers.dmr.reference.cases import LEARNING_RATE, Case, case, drawn_weight
from fuxian.papers.dmr.settings import Layout, Setting
from fuxian.weights import load_tensors

RECORDED = Path(__file__).parent / "official"
ZERO = 1e-6
"""Of the whole gradient's norm: a difference of a billionth of this is what float64 rounds."""
TABLES = {"adgroup_id": "mid", "cate_id": "cat"}
"""Fields that the official variables call otherwise."""
NORM = {"weight": "gamma", "bias": "beta", "_mean": "moving_mean", "_variance": "moving_variance"}
SCORES = {"u2i": ("dm", "dm_att"), "i2i": ("dmr", "tg_att")}


def official_name(name: str, layout: Layout) -> str:
    """The official variable of a parameter of the port."""
    part, *rest = name.split(".")
    suffix = {"weight": "kernel", "bias": "bias"}.get(rest[-1], "") if rest else ""
    if part in ("user", "item", "contexts"):
        fields = {"user": layout.user, "item": layout.item, "contexts": layout.context}[part]
        own = fields[int(rest[1])].name
        return f"{TABLES.get(own, own)}_embedding_var"
    if part == "norm":
        return f"bn_inp/{NORM[rest[0]]}"
    if part == "network":
        place, slope = divmod(int(rest[0]), 2)
        return f"prelu{place}/prelu_prelu{place}" if slope else f"f{place}/{suffix}"
    short, attention = SCORES[part]
    if rest[0] == "context":
        prefix = "dm_" if part == "u2i" else ""
        return prefix + {"position": "position_embeddings_var", "behaviour": "btag_embedding_var"}[rest[1]]
    if rest[0] == "scores":
        if rest[1] == "align":
            return f"{short}_align/{suffix}"
        if rest[1] == "bend":
            return f"{short}_prelu/prelu_{short}_prelu"
        return f"{attention}_{int(rest[2]) // 2 + 1}/{suffix}"
    return {"user": f"dm_fcn_1/{suffix}", "bend": "dm_fcn_1/prelu_dm_fcn_1", "vectors": "dm_item_vectors"}[
        rest[0]
    ]


def build(made: Case, dtype: str) -> DMR:
    """The port with the case's weights, in training mode."""
    before = paddle.get_default_dtype()
    paddle.set_default_dtype(dtype)
    try:
        model = DMR(made.layout)
    finally:
        paddle.set_default_dtype(before)
    for name, value in model.state_dict().items():
        value.set_value(drawn_weight(official_name(name, made.layout), tuple(value.shape)).astype(dtype))
    model.train()
    return model


def inputs_of(
    made: Case, recorded: dict[str, np.ndarray], step: int, dtype: str
) -> tuple[tuple[paddle.Tensor, ...], tuple[paddle.Tensor, ...]]:
    """Inputs and targets of a step's batch, with the samples that the official sampler drew."""
    arrays, clicks = examples(made.batches[step])
    own = {name: recorded[f"samples/{step}/{name}"] for name in ("classes", "right", "drawn")}
    numbers = made.batches[step][:, 264:265].astype(dtype)
    logs = [np.log(own[name].astype(dtype)) for name in ("right", "drawn")]
    given = (*arrays[:5], numbers, own["classes"].astype(np.int64), *logs)
    return tuple(map(paddle.to_tensor, given)), (
        paddle.to_tensor(clicks),
        paddle.zeros([len(clicks)], "int64"),
    )


def one_batch(made: Case, recorded: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs, losses and gradients of the first batch in float64, as ``official.py`` records them."""
    model = build(made, "float64")
    inputs, targets = inputs_of(made, recorded, 0, "float64")
    outputs = model(*inputs)
    loss = parts(Setting(made.layout, sampled=2000)).loss
    assert loss is not None  # noqa: S101
    losses = loss(outputs, targets)
    losses["total"].backward()
    found = {
        "logit": outputs["click"].numpy(),
        "u2i": outputs["u2i"].numpy(),
        "i2i": outputs["i2i"].numpy(),
        "match_loss": losses["match"].numpy().reshape(1),
        "click_loss": losses["click"].numpy().reshape(1),
        "loss": losses["total"].numpy().reshape(1),
    }
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            found[f"gradient/{official_name(name, made.layout)}"] = sketch(parameter.grad.numpy())
    return found


def differences(found: dict[str, np.ndarray], recorded: dict[str, np.ndarray]) -> dict[str, float]:
    """Largest difference of each value or sketch from the recorded one, relative to the tensor's norm.

    A gradient below a millionth of the whole one is measured against that millionth: a bias before a softmax has a
    gradient of 0, and rounding is all that stands there.
    """
    wanted = {key: value for key, value in recorded.items() if not key.startswith(("steps/", "samples/"))}
    if wanted.keys() != found.keys():
        raise ValueError(f"recorded and computed differ in {sorted(wanted.keys() ^ found.keys())}")
    gradients = [value[L2] for key, value in wanted.items() if key.startswith("gradient/")]
    whole = float(np.sqrt(np.square(gradients).sum()))
    result = {}
    for key, value in wanted.items():
        if key.startswith("gradient/"):
            size = np.full(LENGTH, max(value[L2], ZERO * whole))
            # Sums over all elements grow with their number.
            size[[SUM, ABSOLUTE]] = np.maximum(value[ABSOLUTE], size[L2])
        else:
            size = np.full(value.shape, np.abs(value).max())
        result[key] = float((np.abs(value - found[key]) / size).max())
    return result


def compare(name: str) -> dict[str, float]:
    """``differences`` of a case that is computed now."""
    recorded = load_tensors(RECORDED / f"{name}.safetensors")
    return differences(one_batch(case(name), recorded), recorded)


def losses_of_steps(name: str, dtype: str) -> np.ndarray:
    """The losses of the case's training steps.

    TensorFlow adds Adam's epsilon before the bias correction of the second moment, Paddle after it: here it is
    Paddle's epsilon over that correction's root, which is TensorFlow's.
    """
    made = case(name)
    recorded = load_tensors(RECORDED / f"{name}.safetensors")
    model = build(made, dtype)
    loss = parts(Setting(made.layout, sampled=2000)).loss
    assert loss is not None  # noqa: S101
    adam = paddle.optimizer.Adam(LEARNING_RATE, parameters=model.parameters())
    losses = []
    for step in range(len(made.batches)):
        inputs, targets = inputs_of(made, recorded, step, dtype)
        total = loss(model(*inputs), targets)["total"]
        total.backward()
        adam._epsilon = 1e-8 / float(np.sqrt(1 - 0.999 ** (step + 1)))
        adam.step()
        adam.clear_grad()
        losses.append(float(total))
    return np.array(losses)
