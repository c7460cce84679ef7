"""The training loop through its one door, on small recipes."""

import json
import sys
import types

import numpy as np
import paddle
import pytest
from paddle import nn

from fuxian.errors import InputError
from fuxian.training import checkpoints
from fuxian.training.evaluate import evaluate
from fuxian.training.fit import Length, fit
from fuxian.weights import load_tensors


def newest(run):
    return checkpoints.latest(run / "checkpoints")


def test_fit_learns_a_line_and_writes_a_run_folder(tmp_path, line_recipe, log_of):
    heard = []
    model = fit(
        line_recipe(),
        tmp_path,
        seed=0,
        length=Length(iterations=250, log_every=50, checkpoint_every=60),
        progress=lambda step, figures: heard.append((step, bool(figures))),
    )
    np.testing.assert_allclose(model.weight.numpy(), 1.0, atol=1e-3)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    lines = [line for line in lines if "chain" not in line]
    logged = [*range(1, 21), 50, 100, 150, 200, 250]
    assert [line["step"] for line in lines] == logged
    for line in lines:
        assert set(line) == {"step", "loss", "lr", "reader_cost", "batch_cost", "ips"}
        assert line["lr"] == pytest.approx(0.1)
        assert 0 <= line["reader_cost"] <= line["batch_cost"] and line["ips"] > 0
    assert lines[-1]["loss"] < 1e-5 < lines[0]["loss"]
    assert heard == [(step, step in logged) for step in range(1, 251)]
    kept = {place.name for place in (tmp_path / "checkpoints").iterdir()}
    assert kept == {f"step_{step:08d}" for step in (60, 120, 180, 240, 250)}
    assert any((tmp_path / "vdl").iterdir())


def test_a_log_line_is_the_mean_since_the_line_before(tmp_path, line_recipe, log_of):
    still = line_recipe(
        optimizer=lambda model: (paddle.optimizer.SGD(0.0, parameters=model.parameters()), None)
    )
    fit(still, tmp_path, seed=0, length=Length(iterations=40, log_every=20))
    losses = [line["loss"] for line in log_of(tmp_path)]
    assert losses[20] == pytest.approx(np.mean(losses[:20]), rel=1e-6)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path, line_recipe):
    def weights(folder, seed):
        (tmp_path / folder).mkdir()
        return fit(line_recipe(), tmp_path / folder, seed=seed, length=Length(iterations=3)).weight.numpy()

    first = weights("a", 0)
    np.testing.assert_array_equal(weights("b", 0), first)
    assert np.abs(weights("c", 1) - first).max() > 1e-3


def test_accumulated_steps_are_the_step_of_the_joint_batch(tmp_path, line_recipe):
    batches = line_recipe().train_data()
    joint = [
        {
            "inputs": (np.concatenate([one["inputs"][0], two["inputs"][0]]),),
            "targets": (np.concatenate([one["targets"][0], two["targets"][0]]),),
        }
        for one, two in (batches[:2], batches[2:])
    ]
    runs = {}
    for name, recipe, steps in (
        ("halves", line_recipe(accumulate=2), 8),
        ("joint", line_recipe(train_data=lambda: joint), 4),
    ):
        (tmp_path / name).mkdir()
        runs[name] = fit(recipe, tmp_path / name, seed=0, length=Length(iterations=steps)).weight.numpy()
    np.testing.assert_allclose(runs["halves"], runs["joint"], rtol=1e-5)


@pytest.mark.parametrize("data", ["sequence", "iterable"])
@pytest.mark.parametrize(
    ("every", "expected"), [("step", 0.5 ** np.arange(10)), ("epoch", 0.5 ** (np.arange(10) // 4))]
)
def test_the_schedule_steps_as_said_and_the_log_shows_the_rate_that_was_used(
    tmp_path, line_recipe, log_of, data, every, expected
):
    def optimizer(model):
        schedule = paddle.optimizer.lr.ExponentialDecay(1.0, 0.5)
        return paddle.optimizer.SGD(schedule, parameters=model.parameters()), schedule

    batches = line_recipe().train_data()
    train_data = (lambda: batches) if data == "sequence" else (lambda: iter(batches))
    recipe = line_recipe(
        optimizer=optimizer,
        schedule_every=every,
        train_data=train_data,
        loss=lambda outputs, targets: (outputs * 0).sum(),
    )
    fit(recipe, tmp_path, seed=0, length=Length(iterations=10))
    np.testing.assert_allclose([line["lr"] for line in log_of(tmp_path)], expected)


def test_named_losses_are_logged_and_total_is_followed(tmp_path, line_recipe, log_of):
    def loss(outputs, targets):
        return {"total": outputs.square().mean(), "half": outputs.square().mean() / 2}

    fit(line_recipe(loss=loss), tmp_path, seed=0, length=Length(iterations=50))
    for line in log_of(tmp_path):
        assert line["half"] == pytest.approx(line["loss"] / 2)
    assert line["loss"] < 0.1


def test_a_step_of_ones_own_drives_several_optimizers(tmp_path, line_recipe, log_of):
    """As a GAN does: two optimizers that pull one weight in turns."""

    def optimizers(model):
        return {
            "weight": (paddle.optimizer.SGD(0.1, parameters=[model.weight]), None),
            "bias": (paddle.optimizer.Adam(0.1, parameters=[model.bias]), None),
        }

    def step(model, update, batch):
        update(model(*batch["inputs"]).square().mean(), "weight")
        update(model(*batch["inputs"]).square().mean(), "bias")
        return {"total": model.weight.square().sum(), "bias": float(model.bias.abs().sum())}

    recipe = line_recipe(optimizer=optimizers, step=step, loss=None)
    model = fit(recipe, tmp_path, seed=0, length=Length(iterations=100))
    np.testing.assert_allclose(model.weight.numpy(), 0.0, atol=1e-2)
    assert {"loss", "bias"} < set(log_of(tmp_path)[-1])
    assert {file.name for file in newest(tmp_path).iterdir()} >= {
        "optimizer.weight.safetensors",
        "optimizer.bias.safetensors",
    }


def test_evaluations_are_logged_by_name_and_leave_the_training_alone(tmp_path, hard):
    runs = {}
    for name, every in (("with", 5), ("without", 0)):
        runs[name] = tmp_path / name
        runs[name].mkdir()
        fit(hard.recipe(), runs[name], seed=0, length=Length(iterations=22, evaluate_every=every))
    evaluations = [
        json.loads(line) for line in (runs["with"] / "log.jsonl").read_text().splitlines() if "eval" in line
    ]
    assert [line["step"] for line in evaluations] == [5, 10, 15, 20, 22]
    assert all(set(line["eval"]) == {"mse"} for line in evaluations)
    for file in newest(runs["with"]).iterdir():
        assert file.read_bytes() == (newest(runs["without"]) / file.name).read_bytes(), file.name


def test_what_is_evaluated_is_returned_and_kept_beside_the_model(tmp_path, hard):
    average = fit(hard.recipe(), tmp_path, seed=0, length=Length(iterations=10))
    kept = load_tensors(newest(tmp_path) / "evaluated.safetensors")
    for name, value in average.state_dict().items():
        np.testing.assert_array_equal(kept[name], value.numpy())
    assert (
        np.abs(
            kept["body.0.weight"] - load_tensors(newest(tmp_path) / "model.safetensors")["body.0.weight"]
        ).max()
        > 0
    )


@pytest.mark.parametrize(("checkpoint_every", "log_every"), [(7, 100), (1000, 7)])
def test_a_loss_that_is_no_number_stops_with_one_sentence_and_is_never_kept(
    tmp_path, line_recipe, checkpoint_every, log_every
):
    batches = [line_recipe().train_data()[0] for _ in range(40)]
    batches[25] = {"inputs": (np.full((6, 3), np.nan, "float32"),), "targets": batches[0]["targets"]}
    length = Length(iterations=40, checkpoint_every=checkpoint_every, log_every=log_every)
    with pytest.raises(InputError, match="the loss is nan at step 26") as caught:
        fit(line_recipe(train_data=lambda: batches), tmp_path, seed=0, length=length)
    assert "\n" not in str(caught.value)
    for place in (tmp_path / "checkpoints").glob("*"):
        assert np.isfinite(load_tensors(place / "model.safetensors")["weight"]).all()


@pytest.mark.parametrize("missing", ["train_data", "optimizer", "loss"])
def test_a_recipe_without_a_part_is_refused(tmp_path, line_recipe, missing):
    with pytest.raises(InputError, match="cannot be trained"):
        fit(line_recipe(**{missing: None}), tmp_path, seed=0, length=Length(iterations=1))


@pytest.mark.parametrize("data", [[], iter(())])
def test_data_without_a_batch_are_refused(tmp_path, line_recipe, data):
    with pytest.raises(InputError, match="no batch"):
        fit(line_recipe(train_data=lambda: data), tmp_path, seed=0, length=Length(iterations=1))


def test_losses_without_a_total_are_refused(tmp_path, line_recipe):
    recipe = line_recipe(loss=lambda outputs, targets: {"real": outputs.mean(), "fake": outputs.mean()})
    with pytest.raises(InputError, match="real, fake"):
        fit(recipe, tmp_path, seed=0, length=Length(iterations=1))


def test_a_reference_recipe_is_not_trained(tmp_path, line_recipe):
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'fuxian[reference]'")
    with pytest.raises(InputError, match="torch"):
        fit(line_recipe(model=lambda: torch.nn.Linear(3, 1)), tmp_path, seed=0, length=Length(iterations=1))


def test_inner_steps_may_differentiate_in_evaluation_too(tmp_path, line_recipe, log_of):
    """Evaluation builds no graph, unless the recipe says that it differentiates."""

    class Slope:
        def update(self, outputs, targets):
            self.value = float(outputs)

        def figures(self, selection=None):
            return {"slope": self.value}

    def forward(model, inputs):
        x = paddle.to_tensor(inputs[0].numpy(), stop_gradient=False)
        (gradient,) = paddle.grad(model(x).sum(), [x], create_graph=model.training)
        return gradient.mean()

    recipe = line_recipe(
        model=lambda: nn.Linear(3, 1),
        forward=forward,
        loss=lambda slope, targets: (slope - 2.0) ** 2,
        metric=Slope,
        eval_data=line_recipe().train_data,
        higher_order=True,
    )
    fit(recipe, tmp_path, seed=0, length=Length(iterations=300, evaluate_every=300))
    (last,) = [line for line in log_of(tmp_path) if "eval" in line]
    assert last["eval"]["slope"] == pytest.approx(2.0, abs=1e-3)


def test_an_evaluation_builds_no_graph_unless_the_recipe_differentiates(line_recipe):
    graphs = []

    class Watching:
        def update(self, outputs, targets):
            pass

        def figures(self, selection=None):
            return {"figure": 0.0}

    def forward(model, inputs):
        outputs = model(*inputs)
        graphs.append(not outputs.stop_gradient)
        return outputs

    for differentiates in (False, True):
        recipe = line_recipe(
            forward=forward, metric=Watching, eval_data=line_recipe().train_data, higher_order=differentiates
        )
        evaluate(recipe, recipe.model())
        assert set(graphs) == {differentiates}
        graphs.clear()


@pytest.mark.parametrize("package", ["tensorboard.summary", "tensorboardX", None])
def test_tensorboard_is_written_where_it_is_installed(tmp_path, line_recipe, monkeypatch, package):
    written = []

    class Writer:
        def __init__(self, folder):
            written.append(folder)

        def add_scalar(self, name, value, step):
            written.append((name, step))

        def close(self):
            written.append("closed")

    names = {"tensorboard.summary": "Writer", "tensorboardX": "SummaryWriter"}
    for name, writer in names.items():
        module = types.ModuleType(name)
        setattr(module, writer, Writer)
        # None: as if it were not installed.
        monkeypatch.setitem(sys.modules, name, module if name == package else None)
    monkeypatch.setitem(sys.modules, "tensorboard", types.ModuleType("tensorboard"))
    fit(line_recipe(), tmp_path, seed=0, length=Length(iterations=2, log_every=1))
    if package is None:
        assert written == []
    else:
        assert written[0] == str(tmp_path / "tb") and written[-1] == "closed"
        assert ("train/loss", 1) in written and ("train/loss", 2) in written
