"""Checkpoints that are damaged, foreign or hostile: one sentence, and no code of theirs is run."""

import json
import pickle
import shutil

import numpy as np
import paddle
import pytest

from fuxian.errors import InputError
from fuxian.training import checkpoints
from fuxian.training.fit import Length, fit
from fuxian.training.log import read_log
from fuxian.weights import load_tensors, save_tensors

LENGTH = Length(iterations=6, checkpoint_every=2)


def adam(model):
    schedule = paddle.optimizer.lr.StepDecay(0.1, 3)
    return paddle.optimizer.Adam(schedule, parameters=model.parameters()), schedule


@pytest.fixture
def recipe(line_recipe):
    return line_recipe(optimizer=adam)


@pytest.fixture
def run(tmp_path, recipe):
    """A run of 4 steps, to be continued to 6."""
    fit(recipe, tmp_path, seed=0, length=Length(iterations=4, checkpoint_every=2))
    return tmp_path


def resume(run, recipe):
    fit(recipe, run, seed=0, length=LENGTH)


def test_a_checkpoint_holds_safetensors_and_json_and_nothing_else(run):
    place = checkpoints.latest(run / "checkpoints")
    assert {file.name for file in place.iterdir()} == {
        "model.safetensors",
        "optimizer.main.safetensors",
        "state.json",
    }
    assert json.loads((place / "state.json").read_text())["step"] == 4
    moments = load_tensors(place / "optimizer.main.safetensors")
    assert {key.split("/")[0] for key in moments} == {"weight", "bias"}, "keys are the model's own names"
    assert [place.name for place in sorted((run / "checkpoints").iterdir())] == [
        "step_00000002",
        "step_00000004",
    ]


class Evil:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.main.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "torn", "pickle", "zeros"])
def test_damage_is_one_sentence(run, recipe, name, damage):
    file = checkpoints.latest(run / "checkpoints") / name
    content = file.read_bytes()
    mark = run / "executed"
    file.unlink()
    if damage != "missing":
        file.write_bytes(
            {
                "empty": b"",
                "torn": content[: len(content) // 2],
                "pickle": pickle.dumps(Evil(mark)),
                "zeros": bytes(len(content)),
            }[damage]
        )
    with pytest.raises(InputError) as caught:
        resume(run, recipe)
    assert "\n" not in str(caught.value) and str(run) in str(caught.value)
    assert not mark.exists()


@pytest.mark.parametrize(
    "state",
    [
        [],
        {},
        {"step": "four", "schedules": {}},
        {"step": 4, "schedules": {}},
        {"step": 4, "schedules": {"main": None}},
        {"step": 4, "schedules": {"main": {"last_epoch": "x", "last_lr": 0.1}}},
        {"step": 4, "schedules": {"main": {"last_epoch": 1}}},
        {"step": 4, "schedules": [], "since_log": [1]},
    ],
)
def test_a_foreign_state_is_one_sentence(run, recipe, state):
    (checkpoints.latest(run / "checkpoints") / "state.json").write_text(json.dumps(state))
    with pytest.raises(InputError, match=r"state\.json"):
        resume(run, recipe)


def change(file, **changes):
    """Replaces tensors of a file; None takes one away."""
    tensors = dict(load_tensors(file)) | changes
    save_tensors(file, {name: value for name, value in tensors.items() if value is not None})


@pytest.mark.parametrize("value", [None, np.zeros((4, 1), "float32")])
def test_weights_of_another_model_are_refused_by_name(run, recipe, value):
    change(checkpoints.latest(run / "checkpoints") / "model.safetensors", weight=value)
    with pytest.raises(InputError, match="weight missing, unknown or of another shape"):
        resume(run, recipe)


@pytest.mark.parametrize("key", ["weight/moment1_0", "stranger/moment1_0"])
def test_moments_of_another_model_are_refused_by_name(run, recipe, key):
    change(
        checkpoints.latest(run / "checkpoints") / "optimizer.main.safetensors",
        **{key: np.zeros((4, 1), "float32")},
    )
    with pytest.raises(InputError, match=key):
        resume(run, recipe)


def test_a_second_run_in_the_same_process_finds_its_moments(tmp_path, recipe, assert_same_run):
    """Paddle numbers the names of moments; a run that is not a process's first must not lose them."""
    for name in ("first", "whole", "broken"):
        (tmp_path / name).mkdir()
    fit(recipe, tmp_path / "first", seed=1, length=LENGTH)
    fit(recipe, tmp_path / "whole", seed=0, length=LENGTH)
    fit(recipe, tmp_path / "broken", seed=0, length=Length(iterations=4, checkpoint_every=2))
    log = tmp_path / "broken" / "log.jsonl"
    assert [line["step"] for line in read_log(log) if "loss" in line] == [1, 2, 3, 4]
    fit(recipe, tmp_path / "broken", seed=0, length=LENGTH)
    assert_same_run(tmp_path / "whole", tmp_path / "broken")


def test_a_longer_training_goes_on_where_the_shorter_ended(run, recipe, tmp_path_factory, assert_same_run):
    whole = tmp_path_factory.mktemp("whole")
    fit(recipe, whole, seed=0, length=LENGTH)
    resume(run, recipe)
    shutil.rmtree(run / "checkpoints" / "step_00000002", ignore_errors=True)
    assert_same_run(whole, run)


def test_load_into_sets_every_tensor_or_refuses(tmp_path):
    layer, other = paddle.nn.BatchNorm1D(3), paddle.nn.BatchNorm1D(3)
    with paddle.no_grad():
        other.weight.set_value(np.arange(3, dtype="float32"))
        other._mean.set_value(np.ones(3, "float32"))
    save_tensors(
        tmp_path / "weights.safetensors", {name: t.numpy() for name, t in other.state_dict().items()}
    )
    checkpoints.load_into(layer, tmp_path / "weights.safetensors")
    for name, value in other.state_dict().items():
        np.testing.assert_array_equal(layer.state_dict()[name].numpy(), value.numpy())
    with pytest.raises(InputError, match="no such file"):
        checkpoints.load_into(layer, tmp_path / "absent.safetensors")


def test_weights_that_were_stored_in_float16_are_widened(tmp_path):
    layer, other = paddle.nn.Linear(3, 2), paddle.nn.Linear(3, 2)
    halves = {name: value.numpy().astype(np.float16) for name, value in other.state_dict().items()}
    save_tensors(tmp_path / "half.safetensors", halves)
    checkpoints.load_into(layer, tmp_path / "half.safetensors")
    for name, value in halves.items():
        assert layer.state_dict()[name].dtype == paddle.float32
        np.testing.assert_array_equal(layer.state_dict()[name].numpy(), value.astype(np.float32))
