"""The diagnosis, on divergences written by hand: neither framework runs here."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuxian.align.causes import CAUSES
from fuxian.align.diagnose import diagnose
from fuxian.align.diagnose import statistics as initial
from fuxian.align.diagnose.kernels import gelu, gelu_tanh, layer_norm, pool, sigmoid, softmax
from fuxian.align.divergence import Divergence, Scene
from fuxian.align.recording import Recording, RecordingWriter
from fuxian.align.tracing import Call

RANDOM = np.random.default_rng(5)


def call(
    operation: str, inputs: list[str], output: str, *, index: int = 0, path: str = "block", **arguments
) -> Call:
    named = dict(zip(("x", "y", "z"), ({"tensor": name} for name in inputs), strict=False))
    return Call(index, f"any.{operation}", operation, path, "forward", -1, named | arguments, inputs, [output],
                f"/home/user/port.py:{10 + index}")  # fmt: skip


def side(
    folder, calls: list[Call], tensors: dict, framework: str, prefix: str = "eval"
) -> tuple[Recording, Scene]:
    """One side's recording of a pass, and its scene at the first call."""
    calls = [Call(**{**asdict(one), "index": i}) for i, one in enumerate(calls)]
    with RecordingWriter(folder, framework=framework) as writer:
        for name, array in tensors.items():
            writer.put(f"{prefix}/values/{name}", array)
        links = {"pairs": [], "port_aliases": {}, "reference_aliases": {}, "port_left": [], "reference_left": [],
                 "problems": []}  # fmt: skip
        writer.data |= {"modules": [{"path": "block", "class": "user.Block", "settings": {}}], "parameters": [],
                        "dtype": "float64", "links": links, "settings": {}, "parts": []}  # fmt: skip
        writer.data["trace"] = {prefix: {"calls": [asdict(one) for one in calls], "spans": [],
                                         "outputs": {"": calls[-1].outputs[0]}}}  # fmt: skip
    return Recording(folder), Scene(
        framework, "block", "user.Block", {}, calls, tensors, {}, "/home/user/port.py:10"
    )


def forward(
    tmp_path, ours: list[Call], theirs: list[Call], mine: dict, other: dict, at=(0, 0), stage="forward"
):
    """The diagnosis of a forward pass whose sides part at the calls ``at``."""
    prefix = "loss" if stage == "loss" else "eval"
    port, one = side(tmp_path / "port", ours, mine, "paddle", prefix)
    reference, two = side(tmp_path / "reference", theirs, other, "torch", prefix)
    scenes = [Scene(**{**vars(s), "calls": s.calls[i:]}) for s, i in ((one, at[0]), (two, at[1]))]
    error = 0.1
    found = diagnose(Divergence(stage, "block", "block", "call", error, 1e-9, scenes[0], scenes[1],
                                recordings=(port, reference)))  # fmt: skip
    assert found.cause in CAUSES
    return found


X = RANDOM.standard_normal((4, 6, 8))


def after(value: np.ndarray) -> np.ndarray:
    """What the next call, the same on both sides, makes of a value."""
    return value.sum(-1, keepdims=True) * 1.25


def one_call(tmp_path, operation, results, *, source=X, ours=None, theirs=None, names=None, stage="forward"):
    names = names or (operation, operation)
    return forward(
        tmp_path,
        [call(names[0], ["inputs.0"], "t1", **(ours or {}))],
        [call(names[1], ["inputs.0"], "t1", **(theirs or {}))],
        {"inputs.0": source, "t1": results[0]}, {"inputs.0": source, "t1": results[1]}, stage=stage,
    )  # fmt: skip


def test_another_epsilon_is_found_and_its_evidence_is_the_fall_of_the_error(tmp_path):
    results = [layer_norm(0.01 * X, {}, {"epsilon": e}) for e in (1e-5, 1e-6)]
    found = one_call(tmp_path, "layer_norm", results, source=0.01 * X, ours={"epsilon": 1e-5, "normalized_shape": [8]},
                     theirs={"eps": 1e-6, "normalized_shape": [8]})  # fmt: skip
    assert found.cause == "epsilon"
    assert "epsilon=1e-06" in found.evidence and "falls from" in found.evidence
    assert found.line == "/home/user/port.py:10"


def test_two_settings_that_matter_together_are_both_named(tmp_path):
    picture = RANDOM.standard_normal((2, 3, 8, 8))
    mine, other = {"kernel_size": 2, "stride": 2, "padding": 0}, {"kernel_size": 3, "stride": 2, "padding": 1}
    results = [pool(picture, "max", s) for s in (mine, other)]
    found = one_call(tmp_path, "max_pool2d", results, source=picture, ours=mine, theirs=other)
    assert "padding=1 in place of 0 and kernel_size=3 in place of 2 the difference falls" in found.evidence


def test_a_setting_that_does_not_explain_the_port_gets_no_fall_of_the_error(tmp_path):
    results = [layer_norm(0.01 * X, {}, {"epsilon": 1e-5}) * X, layer_norm(0.01 * X, {}, {"epsilon": 1e-6})]
    found = one_call(tmp_path, "layer_norm", results, source=0.01 * X, ours={"epsilon": 1e-5, "normalized_shape": [8]},
                     theirs={"eps": 1e-6, "normalized_shape": [8]})  # fmt: skip
    assert found.cause == "epsilon"
    assert "falls" not in found.evidence


def test_a_setting_that_differs_and_changes_nothing_is_not_blamed(tmp_path):
    picture = RANDOM.standard_normal((2, 3, 8, 8))
    results = [pool(picture, kind, {"kernel_size": 2, "stride": 2}) for kind in ("avg", "avg")]
    results[0] = results[0] * 3.0
    found = one_call(tmp_path, "avg_pool2d", results, source=picture,
                     ours={"kernel_size": 2, "stride": 2, "exclusive": True},
                     theirs={"kernel_size": 2, "stride": 2, "count_include_pad": True})  # fmt: skip
    assert found.cause != "ceil_mode"


@pytest.mark.parametrize(
    ("setting", "ours", "theirs", "cause"),
    [
        ("ceil_mode", False, True, "ceil_mode"),
        ("padding", 0, 1, "padding"),
        ("stride", 1, 2, "stride"),
        ("kernel_size", 2, 3, "kernel_size"),
    ],
)
def test_settings_of_a_pool(tmp_path, setting, ours, theirs, cause):
    picture = RANDOM.standard_normal((2, 3, 8, 8))
    common = {"kernel_size": 3, "stride": 2, "padding": 0, "ceil_mode": False}
    mine, other = common | {setting: ours}, common | {setting: theirs}
    results = [pool(picture, "max", s) for s in (mine, other)]
    assert one_call(tmp_path, "max_pool2d", results, source=picture, ours=mine, theirs=other).cause == cause


def test_paddle_and_torch_say_momentum_and_padding_counts_the_other_way(tmp_path):
    picture = RANDOM.standard_normal((2, 3, 8, 8))
    common = {"kernel_size": 2, "stride": 2, "padding": 1}
    results = [pool(picture, "avg", common | {"count_include_pad": c}) for c in (False, True)]
    found = one_call(tmp_path, "avg_pool2d", results, source=picture, ours=common | {"exclusive": True},
                     theirs=common | {"count_include_pad": True})  # fmt: skip
    assert found.cause == "count_include_pad"


def test_two_forms_of_an_activation(tmp_path):
    found = one_call(
        tmp_path, "gelu", [gelu_tanh(X), gelu(X)], ours={"approximate": True}, theirs={"approximate": "none"}
    )
    assert found.cause == "activation_form"


def test_two_activations(tmp_path):
    found = one_call(tmp_path, "", [np.maximum(X, 0), X * sigmoid(X)], names=("relu", "silu"))
    assert found.cause == "activation"
    assert "relu" in found.evidence and "silu" in found.evidence


@pytest.mark.parametrize("axis", [0, 1])
def test_softmax_over_another_axis_read_off_the_tensors_alone(tmp_path, axis):
    assert one_call(tmp_path, "softmax", [softmax(X, axis), softmax(X, -1)]).cause == "softmax_axis"


def test_another_reduction_and_another_axis(tmp_path):
    assert one_call(tmp_path / "a", "mean", [X.mean(1), X.mean(2)]).cause in ("axis", "reduction")
    assert one_call(tmp_path / "b", "", [X.max(2), X.mean(2)], names=("max", "mean")).cause in (
        "reduction",
        "pool_kind",
    )


@given(factor=st.floats(0.01, 100).filter(lambda f: abs(f - 1) > 0.01))
@settings(max_examples=15, deadline=None)
def test_a_factor_is_named_whatever_it_is(factor, tmp_path_factory):
    found = one_call(tmp_path_factory.mktemp("case"), "multiply", [X * factor, X])
    assert found.cause == "scale_factor"


@given(axes=st.permutations(range(3)).filter(lambda a: list(a) != [0, 1, 2]))
@settings(max_examples=6, deadline=None)
def test_elements_in_another_order(axes, tmp_path_factory):
    turned = X.transpose(axes).reshape(X.shape)
    found = one_call(tmp_path_factory.mktemp("case"), "unheard_of", [turned, X])
    assert found.cause == "permutation"


def residual(tmp_path, *, missing: bool):
    """A block ``relu(f(x) + x)``, and one without the sum."""
    made = RANDOM.standard_normal(X.shape)
    whole = [
        call("linear", ["inputs.0"], "t1"),
        call("add", ["t1", "inputs.0"], "t2"),
        call("relu", ["t2"], "t3"),
    ]
    short = [call("linear", ["inputs.0"], "t1"), call("relu", ["t1"], "t3")]
    total = {"inputs.0": X, "t1": made, "t2": made + X, "t3": np.maximum(made + X, 0)}
    part = {"inputs.0": X, "t1": made, "t3": np.maximum(made, 0)}
    if missing:
        return forward(tmp_path, short, whole, part, total, at=(1, 1))
    return forward(tmp_path, whole, short, total, part, at=(1, 1))


@pytest.mark.parametrize("missing", [True, False])
def test_a_shortcut_on_one_side_alone(tmp_path, missing):
    assert residual(tmp_path, missing=missing).cause == "residual"


def attention(q, k, v, *, scale=8**-0.5, mask=None, axis=-1):
    scores = q @ np.swapaxes(k, -1, -2)
    logits = scores * scale if mask is None else np.where(mask, scores * scale, -1e9)
    weights = softmax(logits, axis)
    tensors = {"inputs.0": q, "inputs.1": np.ascontiguousarray(np.swapaxes(k, -1, -2)), "inputs.2": v, "t1": scores,
               "t2": logits, "t3": weights, "t4": weights @ v}  # fmt: skip
    calls = [call("matmul", ["inputs.0", "inputs.1"], "t1"), call("multiply", ["t1"], "t2"),
             call("softmax", ["t2"], "t3"), call("matmul", ["t3", "inputs.2"], "t4")]  # fmt: skip
    return calls, tensors


Q, K, V = (RANDOM.standard_normal((2, 3, 5, 8)) for _ in range(3))
CAUSAL = np.tril(np.ones((5, 5), bool))


@pytest.mark.parametrize(
    ("ours", "theirs", "cause", "at"),
    [
        ({"scale": 24**-0.5}, {}, "attention_scale", 1),
        ({}, {"mask": CAUSAL}, "attention_mask", 1),
        ({"mask": ~CAUSAL | np.eye(5, dtype=bool)}, {"mask": CAUSAL}, "attention_mask", 1),
        ({"axis": -2}, {}, "softmax_axis", 2),
    ],
)
def test_an_attention_written_out(tmp_path, ours, theirs, cause, at):
    mine, other = attention(Q, K, V, **ours), attention(Q, K, V, **theirs)
    assert forward(tmp_path, mine[0], other[0], mine[1], other[1], at=(at, at)).cause == cause


def test_queries_and_keys_exchanged(tmp_path):
    mine, other = attention(K, Q, V), attention(Q, K, V)
    assert forward(tmp_path, mine[0], other[0], mine[1], other[1]).cause == "qkv_order"


def test_values_through_float16(tmp_path):
    narrow = X.astype(np.float16).astype(np.float64)
    assert one_call(tmp_path, "unheard_of", [narrow, X]).cause == "precision"


def test_what_no_hypothesis_explains_gets_a_program_that_shows_it(tmp_path, capsys):
    found = one_call(tmp_path, "unheard_of", [np.sin(X) + 0.3 * X[::-1], np.cos(3 * X)])
    assert found.cause == "unknown"
    exec(compile(found.script, "reproducer", "exec"), {})  # noqa: S102 - it is what the diagnosis wrote
    assert "largest difference" in capsys.readouterr().out


# --- schedules -------------------------------------------------------------------------------------------------------


def schedule_diagnosis(port, reference, **facts):
    facts = {
        "port_series": np.asarray(port, float),
        "reference_series": np.asarray(reference, float),
        "step": 0,
        **facts,
    }
    found = diagnose(Divergence("learning_rate", "optimizer", "optimizer", "group", 0.5, 1e-5, facts=facts))
    assert found.cause in CAUSES
    return found


def schedule(port, reference, **facts):
    return schedule_diagnosis(port, reference, **facts).cause


STEPS = np.arange(200)


def cosine(length, peak=0.1, lowest=0.0):
    return lowest + (peak - lowest) * (1 + np.cos(np.pi * STEPS / length)) / 2


def stepped(size, gamma):
    return 0.1 * gamma ** (STEPS // size)


def warmed(length, offset=0):
    return 0.1 * np.minimum(1.0, (STEPS + offset) / length)


@pytest.mark.parametrize(
    ("port", "reference", "cause"),
    [
        (cosine(100), cosine(200), "schedule_length"),
        (cosine(40), cosine(100), "schedule_length"),
        (cosine(200, 0.2), cosine(200, 0.1), "learning_rate"),
        (stepped(30, 0.5), stepped(30, 0.1), "schedule_gamma"),
        (stepped(30, 0.1), stepped(60, 0.1), "schedule_length"),
        (0.1 * 0.9**STEPS, 0.1 * 0.95**STEPS, "schedule_gamma"),
        (0.1 * (1 - STEPS / 200), 0.1 * (1 - STEPS / 200) ** 0.9, "schedule_gamma"),
        (warmed(10), warmed(10, 1), "warmup"),
        (warmed(20), warmed(10), "warmup"),
        (stepped(30, 0.1), cosine(200), "schedule_kind"),
    ],
)
def test_schedules(port, reference, cause):
    assert schedule(port, reference) == cause


def test_a_stretched_curve_of_a_few_steps_states_the_error_that_is_left():
    steps = np.arange(40)
    series = [0.1 * (1 + np.cos(np.pi * np.minimum(steps, length) / length)) / 2 for length in (6, 7)]
    found = schedule_diagnosis(*series)
    at = [np.interp(i * 6 / 7, np.arange(7), series[0][:7]) for i in range(8)]
    left = np.abs(np.array(at) - series[1][:8]).max() / 0.1
    assert found.cause == "schedule_length"
    assert found.evidence.endswith(f"to {left:.2g}")


def test_a_warm_up_told_by_its_length_alone_states_no_error():
    steps = np.arange(40)
    series = [
        0.1 * np.minimum((steps + 1) / length, 1) * np.where(steps > length, 0.97 ** (steps - length), 1)
        for length in (5, 10)
    ]
    found = schedule_diagnosis(*series)
    assert found.cause == "warmup" and "falls" not in found.evidence


def test_a_schedule_stepped_in_another_unit():
    assert schedule(cosine(9), cosine(9), schedule_every=("step", "epoch")) == "schedule_unit"


@given(factor=st.floats(0.01, 50).filter(lambda f: abs(f - 1) > 1e-3), length=st.integers(20, 400))
def test_a_rate_by_any_factor(factor, length):
    assert schedule(factor * cosine(length), cosine(length)) == "learning_rate"


# --- decay -----------------------------------------------------------------------------------------------------------


def decay(tmp_path, ours, theirs):
    """The diagnosis of what one step with zero gradients moves a weight by."""
    weight = RANDOM.standard_normal((4, 3))
    place = {"tensor": "w", "shape": [4, 3]}
    recordings = []
    group = {"params": ["w"], "learning_rate_now": 0.1}
    for framework, change in (("paddle", ours), ("torch", theirs)):
        with RecordingWriter(tmp_path / framework, framework=framework) as writer:
            writer.put("weights/w", weight)
            writer.put("decay/w", change(weight))
            settings = {"optimizer": {"class": "SGD", "settings": {}, "groups": [group]}}
            writer.data["stages"]["optimizer"] = {"settings": settings}
            writer.data |= {"parameters": [{"name": "w", "kind": "parameter", "same_as": None, "shape": [4, 3]}],
                            "links": {"pairs": [[place, place]], "port_aliases": {}, "reference_aliases": {},
                                      "port_left": [], "reference_left": [], "problems": []}}  # fmt: skip
        recordings.append(Recording(tmp_path / framework))
    found = diagnose(
        Divergence("regularisation", "w", "w", "parameter", 0.5, 1e-6, recordings=tuple(recordings))
    )
    assert found.cause in CAUSES
    return found


def test_the_error_of_a_decay_is_measured(tmp_path):
    noise = 1e-4 * RANDOM.uniform(-1, 1, (4, 3))
    found = decay(tmp_path, lambda w: -0.02 * w, lambda w: -0.01 * w * (1 + noise))
    assert found.cause == "weight_decay"
    before, left = (float(word) for word in found.evidence.rpartition("falls from ")[2].split(" to "))
    assert 0.9 < before < 1.1
    assert 1e-6 < left < 1e-3


def test_a_decay_of_no_known_form_states_no_error(tmp_path):
    found = decay(tmp_path, lambda w: -0.02 * w, lambda w: -0.01 * w**3)
    assert found.cause == "weight_decay_kind" and "falls" not in found.evidence


# --- initial values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "two", "cause"),
    [
        (np.ones(9), np.zeros(9), "init_constant"),
        (RANDOM.normal(0, 0.1, 3000), RANDOM.normal(0, 0.02, 3000), "init_scale"),
        (RANDOM.uniform(-1, 1, 3000), RANDOM.normal(0, math.sqrt(1 / 3), 3000), "init_distribution"),
        (np.zeros(3000), RANDOM.normal(0, 0.1, 3000), "init_distribution"),
        (RANDOM.normal(0.5, 0.1, 3000), RANDOM.normal(0, 0.1, 3000), "init_constant"),
    ],
)
def test_initial_values(one, two, cause):
    found = initial.compare("fc.weight", np.sort(one), np.sort(two), (10, 300))
    assert found is not None and found.cause == cause


def test_a_fan_is_told_from_the_ratio_of_deviations():
    found = initial.compare(
        "fc.weight", RANDOM.normal(0, 1 / 10, 9000), RANDOM.normal(0, 1 / 20, 9000), (100, 400)
    )
    assert found is not None and "fan out in place of fan in" in found.evidence


# --- data ------------------------------------------------------------------------------------------------------------


def batches(tmp_path, change, *, stage="eval_data", place="inputs.0", label_change=None):
    """The diagnosis of batches of pictures that ``change`` makes of the reference's."""
    random = np.random.default_rng(3)
    pictures = random.random((12, 3, 12, 12))
    labels = random.integers(0, 5, 12)
    mine = change(pictures), label_change(labels) if label_change else labels
    recordings = []
    for framework, (images, numbers) in (("paddle", mine), ("torch", (pictures, labels))):
        with RecordingWriter(tmp_path / framework, framework=framework) as writer:
            for i in range(0, len(images), 4):
                writer.put(f"data/{stage.split('_')[0]}/{i // 4}/inputs.0", images[i : i + 4])
                writer.put(f"data/{stage.split('_')[0]}/{i // 4}/targets.0", numbers[i : i + 4])
            writer.data["stages"][stage] = {"batches": -(-len(images) // 4), "length": None}
        recordings.append(Recording(tmp_path / framework))
    found = diagnose(Divergence(stage, place, place, "leaf", 0.5, 1e-6, recordings=tuple(recordings)))
    return found.cause


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda x: x[:, ::-1], "channel_order"),
        (lambda x: (x[:, ::-1] - 0.4) / 0.2, "channel_order"),
        (lambda x: 255 * x, "input_normalisation"),
        (lambda x: (x - np.reshape([0.1, 0.2, 0.3], (3, 1, 1))) / 0.5, "input_normalisation"),
        (lambda x: np.swapaxes(x, 2, 3), "permutation"),
        (lambda x: np.roll(x, 2, 3), "resize"),
        (lambda x: x[:8], "batch_composition"),
        (lambda x: x[[3, 1, 2, 0, *range(11, 3, -1)]], "shuffling"),
    ],
)
def test_data(tmp_path, change, cause):
    assert batches(tmp_path, change) == cause


def test_flips_in_training_are_augmentation(tmp_path):
    def flip(x):
        x = x.copy()
        x[::3] = x[::3, :, :, ::-1]
        return x

    assert batches(tmp_path, flip, stage="train_data") == "augmentation"


@given(order=st.permutations(range(5)).filter(lambda o: o != list(range(5))))
@settings(max_examples=10, deadline=None)
def test_labels_numbered_anew(order, tmp_path_factory):
    table = np.array(order)
    cause = batches(
        tmp_path_factory.mktemp("case"), lambda x: x, place="targets.0", label_change=lambda y: table[y]
    )
    assert cause == "label_mapping"
