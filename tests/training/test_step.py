"""One training step: what ``fit`` trains with is, to the last bit, what alignment records, in either framework."""

from dataclasses import replace

import numpy as np
import paddle
import pytest
from paddle import nn

from fuxian.align import align
from fuxian.align.record import record
from fuxian.align.recording import Recording
from fuxian.errors import InputError
from fuxian.recipe import Recipe
from fuxian.training import checkpoints
from fuxian.training.fit import Best, Length, fit
from fuxian.weights import load_tensors, read

STEPS = 4
"""Optimizer steps that alignment takes; it calls every two of them an epoch."""


def batches(count):
    random = np.random.default_rng(1)
    x = random.standard_normal((count, 6, 4)).astype("float32")
    return [{"inputs": (one,), "targets": (one.sum(1, keepdims=True) ** 2,)} for one in x]


def weights():
    random = np.random.default_rng(0)
    shapes = {"stem": (4, 8), "body": (8, 8), "head": (8, 1)}
    return {name: random.standard_normal(shape).astype("float32") / 2 for name, shape in shapes.items()}


class Net(nn.Layer):
    def __init__(self, frozen=False, normed=True):
        super().__init__()
        self.stem, self.body, self.head = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 1)
        self.norm = nn.BatchNorm1D(8) if normed else nn.Identity()
        for name, value in weights().items():
            getattr(self, name).weight.set_value(value)
        for parameter in self.stem.parameters() if frozen else ():
            parameter.stop_gradient = True

    def forward(self, x):
        return self.head(paddle.tanh(self.norm(self.body(paddle.tanh(self.stem(x))))))


def mean_square(outputs, targets):
    error = ((outputs - targets[0]) ** 2).mean()
    size = (outputs**2).mean()
    return {"total": error + 0.1 * size, "error": error, "size": size}


def adam(model):
    schedule = paddle.optimizer.lr.ExponentialDecay(0.05, 0.5)
    clip = nn.ClipGradByGlobalNorm(0.5)
    return paddle.optimizer.Adam(schedule, parameters=model.parameters(), grad_clip=clip), schedule


def on_plateau(model):
    schedule = paddle.optimizer.lr.ReduceOnPlateau(0.5, factor=0.1, patience=0, threshold=0.2)
    return paddle.optimizer.SGD(schedule, parameters=model.parameters()), schedule


def two_optimizers(model):
    schedule = paddle.optimizer.lr.StepDecay(0.1, 2)
    decay = paddle.optimizer.lr.ExponentialDecay(0.01, 0.8)
    lower = [*model.stem.parameters(), *model.body.parameters(), *model.norm.parameters()]
    return {
        "lower": (paddle.optimizer.Momentum(schedule, parameters=lower, weight_decay=0.01), schedule),
        "head": (paddle.optimizer.AdamW(decay, parameters=model.head.parameters()), decay),
    }


def adversarial(model, update, batch):
    """The lower part against the head, as the two halves of a GAN."""
    (x,), (y,) = batch["inputs"], batch["targets"]
    head = ((model(x) - y) ** 2).mean()
    update(head, "head")
    lower = ((model(x) - y) ** 2).mean() - 0.1 * model(x).square().mean()
    update(lower, "lower")
    return {"total": head + lower, "head": head, "lower": lower}


def average(averaged, trained, updates):
    decay = min(0.9, (1 + updates) / (10 + updates))
    for mean, value in zip(averaged.parameters(), trained.parameters(), strict=True):
        mean.set_value(decay * mean + (1 - decay) * value)


PLAIN = Recipe(model=Net, train_data=lambda: batches(2), loss=mean_square, optimizer=adam)
CASES = {
    "plain": PLAIN,
    "an optimizer alone": replace(
        PLAIN, optimizer=lambda model: paddle.optimizer.SGD(0.1, parameters=model.parameters())
    ),
    "accumulate": replace(PLAIN, accumulate=2),
    "two optimizers": replace(PLAIN, optimizer=two_optimizers),
    "two optimizers, accumulate": replace(PLAIN, optimizer=two_optimizers, accumulate=4),
    "own step": replace(PLAIN, optimizer=two_optimizers, step=adversarial, loss=None),
    "average": replace(PLAIN, average=average),
    "average of a part, accumulate": replace(
        PLAIN, average=average, evaluated=lambda model: model.body, accumulate=2
    ),
    "epochs": replace(PLAIN, schedule_every="epoch"),
    "epochs, accumulate": replace(PLAIN, schedule_every="epoch", accumulate=2, train_data=lambda: batches(4)),
    "frozen part": replace(PLAIN, model=lambda: Net(frozen=True)),
    "plateau of steps": replace(PLAIN, optimizer=on_plateau, schedule_follows="size", accumulate=2),
    "plateau of epochs": replace(PLAIN, optimizer=on_plateau, schedule_every="epoch"),
    "own step, epochs, average": replace(
        PLAIN, optimizer=two_optimizers, step=adversarial, loss=None, schedule_every="epoch", average=average
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_training_and_alignment_take_the_same_steps_to_the_last_bit(tmp_path, log_of, name):
    recipe = CASES[name]
    fit(recipe, tmp_path / "run", seed=0, length=Length(iterations=STEPS * recipe.accumulate))
    record(recipe, tmp_path / "recording", dtype="float32", oracle=False, stages=("training_steps",))
    recording = Recording(tmp_path / "recording")

    lines = [{**line, "total": line["loss"]} for line in log_of(tmp_path / "run")]
    for step in range(STEPS):
        part = lines[step * recipe.accumulate : (step + 1) * recipe.accumulate]
        names = set(recording.names(f"steps/{step}/losses/"))
        assert "total" in names
        for loss in names:
            mean = sum(line[loss] / recipe.accumulate for line in part)
            assert recording.get(f"steps/{step}/losses/{loss}") == mean, (step, loss)

    place = checkpoints.latest(tmp_path / "run" / "checkpoints")
    began = recipe.model().state_dict()
    prefix = f"steps/{STEPS - 1}/"
    for key, value in load_tensors(place / "model.safetensors").items():
        moved = value.astype("float64") - began[key].numpy()
        kind = "buffers" if key.startswith("norm._") else "parameters"
        np.testing.assert_array_equal(recording.get(f"{prefix}{kind}/{key}"), moved, err_msg=key)
    assert sum("/" in name for name in recording.names(prefix)) >= len(began)
    if recipe.average:
        part = "body." if recipe.evaluated else ""
        for key, value in load_tensors(place / "evaluated.safetensors").items():
            moved = value.astype("float64") - began[part + key].numpy()
            np.testing.assert_array_equal(recording.get(f"{prefix}evaluated/{part}{key}"), moved, err_msg=key)


def test_what_the_cases_change_changes_the_weights(tmp_path):
    """Else the comparison above would show nothing."""
    ends = {}
    for number, name in enumerate(CASES):
        model = fit(CASES[name], tmp_path / str(number), seed=0, length=Length(iterations=8))
        ends[name] = b"".join(value.numpy().tobytes() for value in model.state_dict().values())
    assert len(set(ends.values())) == len(CASES)


def torch_side():
    """The parts of "own step, epochs, average" in torch, without batch norm (running variances differ by design)."""
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'fuxian[reference]'")

    class TorchNet(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.body, self.head = (
                torch.nn.Linear(4, 8),
                torch.nn.Linear(8, 8),
                torch.nn.Linear(8, 1),
            )

        def forward(self, x):
            return self.head(torch.tanh(self.body(torch.tanh(self.stem(x)))))

    def optimizers(model):
        lower = [*model.stem.parameters(), *model.body.parameters()]
        sgd = torch.optim.SGD(lower, lr=0.1, momentum=0.9, weight_decay=0.01)
        adam = torch.optim.AdamW(model.head.parameters(), lr=0.01, weight_decay=0.01)
        scheduler = torch.optim.lr_scheduler
        return {
            "lower": (sgd, scheduler.StepLR(sgd, 2, 0.1)),
            "head": (adam, scheduler.ExponentialLR(adam, 0.8)),
        }

    def average(averaged, trained, updates):
        decay = min(0.9, (1 + updates) / (10 + updates))
        for mean, value in zip(averaged.parameters(), trained.parameters(), strict=True):
            mean.copy_(decay * mean + (1 - decay) * value)

    return Recipe(
        model=TorchNet,
        train_data=lambda: batches(2),
        step=adversarial,
        optimizer=optimizers,
        schedule_every="epoch",
        average=average,
    )


@pytest.mark.parametrize("mistake", [False, True])
def test_a_step_of_ones_own_is_aligned_with_the_same_function_in_torch(mistake):
    """The one function ``adversarial`` is both sides' step."""
    port = replace(CASES["own step, epochs, average"], model=lambda: Net(normed=False))
    if mistake:

        def other(averaged, trained, updates):
            average(averaged, trained, updates + 1)

        port = replace(port, average=other)
    alignment = align(port, torch_side(), stages=("configuration", "optimizer", "training_steps"))
    steps = next(result for result in alignment.stages if result.stage == "training_steps")
    assert steps.verdict == ("diverged" if mistake else "aligned")
    if mistake:
        assert all(tensor.name.startswith("evaluated/") for tensor in steps.differing)
        assert alignment.diagnosis.cause == "ema_decay"


def test_a_step_of_ones_own_may_not_accumulate_or_name_a_strange_optimizer(tmp_path):
    own = CASES["own step"]
    with pytest.raises(InputError, match="leave accumulate at 1"):
        fit(replace(own, accumulate=2), tmp_path / "a", seed=0, length=Length(iterations=2))

    def strange(model, update, batch):
        update(model(*batch["inputs"]).mean(), "generator")

    with pytest.raises(InputError, match="generator; the recipe's optimizers are lower, head"):
        fit(replace(own, step=strange), tmp_path / "b", seed=0, length=Length(iterations=2))


def test_every_optimizers_rate_is_logged_once_a_step(tmp_path, log_of):
    fit(CASES["two optimizers, accumulate"], tmp_path, seed=0, length=Length(iterations=12))
    lines = log_of(tmp_path)
    np.testing.assert_allclose([line["lr"] for line in lines], [0.1] * 8 + [0.01] * 4)
    np.testing.assert_allclose(
        [line["lr.head"] for line in lines], [0.01 * 0.8 ** (step // 4) for step in range(12)]
    )


class Error:
    """Its figure stands still, so that a schedule on a plateau reduces."""

    def update(self, outputs, targets):
        pass

    def figures(self):
        return {"error": 1.0}


def test_a_schedule_on_a_plateau_follows_the_evaluations(tmp_path, log_of):
    recipe = replace(
        PLAIN, optimizer=on_plateau, schedule_every="evaluation", schedule_follows="error",
        eval_data=PLAIN.train_data, metric=Error,
    )  # fmt: skip
    length = Length(iterations=9, evaluate_every=2)
    fit(recipe, tmp_path / "a", seed=0, length=length)
    rates = [line["lr"] for line in log_of(tmp_path / "a") if "lr" in line]
    np.testing.assert_allclose(rates, [0.5] * 4 + [0.05] * 2 + [0.005] * 2 + [0.0005])
    with pytest.raises(InputError, match="the metric's figures are error"):
        fit(replace(recipe, schedule_follows="total"), tmp_path / "b", seed=0, length=length)
    with pytest.raises(InputError, match="set evaluate_every"):
        fit(recipe, tmp_path / "c", seed=0, length=Length(iterations=9))


def test_a_schedule_on_a_plateau_resumes_in_the_middle_of_an_epoch(tmp_path, assert_same_run):
    recipe = replace(CASES["plateau of epochs"], train_data=lambda: batches(5))
    length = Length(iterations=18, checkpoint_every=13)
    fit(recipe, tmp_path / "whole", seed=0, length=length)
    fit(recipe, tmp_path / "broken", seed=0, length=Length(iterations=13))
    fit(recipe, tmp_path / "broken", seed=0, length=length)
    assert_same_run(tmp_path / "whole", tmp_path / "broken")


class Scores:
    """The figures of evaluations to come, whatever the model is."""

    def __init__(self, *scores):
        self.scores = list(scores)

    def metric(self):
        class Told:
            def update(self, outputs, targets):
                pass

            def figures(this, selection=None):
                return {"score": self.scores.pop(0)}

        return Told()


@pytest.mark.parametrize(
    ("higher", "scores", "best_at"),
    [
        (True, (0.1, 0.7, 0.3, 0.7, 0.6), 4),
        (False, (0.5, 0.7, 0.3, 0.3, 0.6), 6),
        (True, (0.1, 0.2, 0.3, 0.4, 0.5), 10),
    ],
)
@pytest.mark.parametrize("name", ["plain", "average"])
def test_the_best_evaluations_weights_are_kept_also_over_a_resume(tmp_path, higher, scores, best_at, name):
    base = replace(CASES[name], eval_data=lambda: batches(1), schedule_every="step")
    shown = Scores(*scores)
    recipe = replace(base, metric=shown.metric)
    fit(base, tmp_path / "until", seed=0, length=Length(iterations=best_at))
    wanted = load_tensors(checkpoints.weights_of(checkpoints.latest(tmp_path / "until" / "checkpoints")))
    best, run = Best("score", higher), tmp_path / "run"
    how = {"checkpoint_every": 3, "evaluate_every": 2}
    fit(recipe, run, seed=0, length=Length(iterations=6, **how), best=best)
    fit(recipe, run, seed=0, length=Length(iterations=10, **how), best=best)
    assert not shown.scores
    newest = checkpoints.latest(run / "checkpoints")
    assert newest.name == "step_00000010"
    kept = checkpoints.weights_of(newest)
    assert kept.name == "best.safetensors"
    assert read(kept).metadata["iterations"] == str(best_at)
    for key, value in load_tensors(kept).items():
        np.testing.assert_array_equal(value, wanted[key], err_msg=key)


def test_the_best_of_a_figure_that_is_not_there_is_refused(tmp_path):
    recipe = replace(PLAIN, eval_data=PLAIN.train_data, metric=Scores(0.5).metric)
    with pytest.raises(InputError, match="the metric's figures are score"):
        fit(
            recipe,
            tmp_path,
            seed=0,
            length=Length(iterations=2, evaluate_every=2),
            best=Best("accuracy", True),
        )
    with pytest.raises(InputError, match="set evaluate_every"):
        fit(recipe, tmp_path, seed=0, length=Length(iterations=2), best=Best("score", True))
