"""The experiments as recipes: steps in training and evaluation, and the two baselines."""

import numpy as np
import paddle
import pytest

from fuxian.papers.maml.recipe import SETTINGS, recipe
from fuxian.recipe import to_tensors


def outputs(parts, model, batch):
    return parts.forward(model, to_tensors("paddle", batch["inputs"]))


def gradients_of(variant):
    paddle.seed(0)
    parts = recipe("sinusoid-10shot", gradients=variant)
    model = parts.model()
    rng = np.random.default_rng(0)
    for parameter in model.parameters():
        parameter.set_value(rng.normal(0, 0.3, parameter.shape).astype("float32"))
    batch = parts.train_data()[0]
    made = outputs(parts, model, batch)
    parts.loss(made, to_tensors("paddle", batch["targets"])).backward()
    return made.numpy(), {name: p.grad.numpy() for name, p in model.named_parameters()}, (parts, model, batch)


def test_inner_steps_follow_the_mode_of_the_model():
    made, _, (parts, model, batch) = gradients_of("second-order")
    assert made.shape == (1, 25, 10, 1)
    model.eval()
    tested = outputs(parts, model, batch)
    assert tested.shape == [11, 25, 10, 1]
    np.testing.assert_allclose(tested[1].numpy(), made[0], atol=1e-6)
    model.train()
    assert outputs(parts, model, batch).shape == [1, 25, 10, 1]


def test_first_order_and_none_are_what_they_say():
    full, second, _ = gradients_of("second-order")
    same, first, _ = gradients_of("first-order")
    plain, _, (parts, model, batch) = gradients_of("none")
    np.testing.assert_array_equal(same, full)
    assert all(np.abs(first[name] - second[name]).max() > 0 for name in second if name != "b3")
    query_x = paddle.to_tensor(batch["inputs"][2]).reshape([-1, 1])
    unadapted = model.predict(
        {name: p.unsqueeze(0) for name, p in model.named_parameters()}, query_x.unsqueeze(0)
    )
    np.testing.assert_allclose(plain.reshape(-1), unadapted.numpy().reshape(-1), atol=1e-6)
    assert np.abs(plain - full).max() > 1e-3
    model.eval()
    tested = outputs(parts, model, batch).numpy()
    assert len(tested) == 11 and np.abs(tested[10] - tested[0]).max() > 1e-3, "it adapts when it is tested"


def test_settings_are_the_official_ones():
    assert {name: (s.tasks, s.shots, s.step_size, s.train_steps, s.ways) for name, s in SETTINGS.items()} == {
        "sinusoid-10shot": (25, 10, 0.01, 1, 0),
        "omniglot-5way-1shot": (32, 1, 0.4, 1, 5),
        "omniglot-5way-5shot": (32, 5, 0.4, 1, 5),
    }


def test_the_test_tasks_are_600_and_the_same_for_every_seed():
    one, other = recipe(seed=0).eval_data(), recipe(seed=5).eval_data()
    assert len(one) * one.tasks == 600
    np.testing.assert_array_equal(one[3]["inputs"][0], other[3]["inputs"][0])


@pytest.mark.parametrize("after", [0, 10])
def test_the_metric_is_per_task_and_after_each_step(after):
    parts = recipe("sinusoid-10shot")
    metric, rng = parts.metric(), np.random.default_rng(0)
    made, targets = rng.normal(size=(2, 11, 25, 10, 1)), rng.normal(size=(2, 25, 10, 1))
    for outputs_, targets_ in zip(made, targets, strict=True):
        metric.update(outputs_, (targets_,))
    figures, units = metric.figures(), metric.units()
    expected = np.square(made[:, after] - targets).mean((2, 3)).reshape(-1)
    np.testing.assert_allclose(units[f"mse_after_{after}"].arrays["value"], expected)
    assert figures[f"mse_after_{after}"] == pytest.approx(expected.mean())
    assert figures["mse"] == figures["mse_after_10"]
