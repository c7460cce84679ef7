"""The commands of a submission that is a recipe."""

import shutil

import numpy as np
import pytest

from fuxian.errors import InputError
from fuxian.submission.package import run_recipe_command
from fuxian.weights import load_tensors

MANIFEST = """\
paper = "maml"
claims = ["sinusoid-10shot"]
recipe = "recipe.py"
"""

SMALLER_LAST = """
import numpy as np
import paddle

from fuxian import Recipe
from fuxian.metrics import Mean


def batches(*sizes):
    draws = np.random.default_rng(0)
    return [
        {"inputs": (x := draws.standard_normal((size, 5)).astype("float32")), "targets": x.sum(1)} for size in sizes
    ]


def recipe(claim, **named):
    return Recipe(
        model=lambda: paddle.nn.Linear(5, 1),
        forward=lambda model, inputs: paddle.tanh(model(inputs)),
        train_data=lambda: batches(4),
        eval_data=lambda: batches(4, 3),
        loss=lambda outputs, targets: (outputs[:, 0] - targets).square().mean(),
        optimizer=lambda model: paddle.optimizer.SGD(0.1, parameters=model.parameters()),
        metric=lambda: Mean(lambda outputs, targets, meta: {"mse_after_1": np.square(outputs[:, 0] - targets)}),
    )
"""

SEVERAL_OUTPUTS = """
import numpy as np
import paddle

from fuxian import Recipe
from fuxian.metrics import Mean


class Network(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.one, self.other = paddle.nn.Linear(5, 1), paddle.nn.Linear(3, 2)

    def forward(self, SIGNATURE):
        made = {"second": self.other(z), "first": self.one(x)}
        if self.training:
            made["third"] = only_in_training.sum()
        return made


def batches(*sizes):
    draws = np.random.default_rng(0)
    return [
        {
            "inputs": tuple(draws.standard_normal((size, width)).astype("float32") for width in (5, 4, 3)),
            "targets": np.zeros(size, "float32"),
        }
        for size in sizes
    ]


def recipe(claim, **named):
    return Recipe(
        model=Network,
        train_data=lambda: batches(4),
        eval_data=lambda: batches(4, 3),
        loss=lambda outputs, targets: outputs["first"].square().mean() + outputs["third"],
        optimizer=lambda model: paddle.optimizer.SGD(0.1, parameters=model.parameters()),
        metric=lambda: Mean(lambda outputs, targets, meta: {"mse_after_1": outputs["first"][:, 0] ** 2}),
    )
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """MAML's inner loop is a forward of the recipe's own: trained two steps, predicted with, and exported."""
    folder = tmp_path_factory.mktemp("maml")
    (folder / "fuxian.toml").write_text(MANIFEST)
    (folder / "recipe.py").write_text("from fuxian.papers.maml.recipe import recipe\n")
    run_recipe_command(folder, "train", "--steps=2", "--out=output")
    weights = "--checkpoint=output/model.safetensors"
    run_recipe_command(folder, "predict", weights, "--out=output/predict")
    run_recipe_command(folder, "export", weights, "--out=output/exported")
    return folder


def test_a_forward_of_the_recipes_own_is_exported_whole(exported):
    run_recipe_command(exported, "infer", "--exported=output/exported", "--out=output/infer")
    predicted, inferred = (
        load_tensors(exported / f"output/{name}/predictions.npz") for name in ("predict", "infer")
    )
    assert predicted.keys() == inferred.keys()
    for name, outputs in predicted.items():
        assert outputs.shape[0] == 11  # before the first inner step, and after each of ten
        assert np.ptp(outputs, axis=0).max() > 1e-3  # the inner loop is in the graph
        np.testing.assert_allclose(inferred[name], outputs, rtol=1e-4, atol=1e-6)


def test_a_network_of_another_batch_size_is_one_sentence(exported, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(exported, other)
    (other / "recipe.py").write_text(
        "from dataclasses import replace\n"
        "from fuxian.papers.maml.recipe import recipe as own\n"
        "from fuxian.papers.maml.settings import SETTINGS\n"
        "def recipe(claim, **named):\n"
        "    return own(claim, setting=replace(SETTINGS[claim], test_tasks_at_once=20), **named)\n"
    )
    with pytest.raises(InputError, match="takes batches of 25, and the test split has one of 20"):
        run_recipe_command(other, "infer", "--exported=output/exported", "--out=output/infer")


def test_a_smaller_last_batch_goes_through_a_network_of_one_size(tmp_path):
    """A forward of one's own is exported at the first batch's size."""
    (tmp_path / "fuxian.toml").write_text(MANIFEST)
    (tmp_path / "recipe.py").write_text(SMALLER_LAST)
    weights = "--checkpoint=output/model.safetensors"
    run_recipe_command(tmp_path, "train", "--steps=1", "--out=output")
    run_recipe_command(tmp_path, "predict", weights, "--out=output/predict")
    run_recipe_command(tmp_path, "export", weights, "--out=output/exported")
    run_recipe_command(tmp_path, "infer", "--exported=output/exported", "--out=output/infer")
    predicted, inferred = (
        load_tensors(tmp_path / f"output/{name}/predictions.npz") for name in ("predict", "infer")
    )
    assert sorted(len(one) for one in predicted.values()) == [3, 4]
    assert predicted.keys() == inferred.keys()
    for name, outputs in predicted.items():
        np.testing.assert_allclose(inferred[name], outputs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "signature",
    ["*inputs):\n        x, only_in_training, z = inputs", "x, only_in_training, z):"],
    ids=["inputs without names", "with names"],
)
def test_a_dict_of_outputs_and_an_input_that_only_training_uses_are_exported(signature, tmp_path):
    (tmp_path / "fuxian.toml").write_text(MANIFEST)
    (tmp_path / "recipe.py").write_text(SEVERAL_OUTPUTS.replace("SIGNATURE):", signature))
    run_recipe_command(tmp_path, "train", "--steps=1", "--out=output")
    weights = "--checkpoint=output/model.safetensors"
    run_recipe_command(tmp_path, "predict", weights, "--out=predicted")
    run_recipe_command(tmp_path, "export", weights, "--out=exported")
    run_recipe_command(tmp_path, "infer", "--exported=exported", "--out=inferred")
    predicted, inferred = (
        load_tensors(tmp_path / f"{name}/predictions.npz") for name in ("predicted", "inferred")
    )
    assert predicted.keys() == inferred.keys() == {"0000.0", "0000.1", "0001.0", "0001.1"}
    for name, outputs in predicted.items():
        np.testing.assert_allclose(inferred[name], outputs, atol=1e-5)
