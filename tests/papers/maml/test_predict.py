import numpy as np
import paddle
import pytest

from fuxian.errors import InputError
from fuxian.papers.find import find_claim
from fuxian.papers.maml.model import OmniglotNet, SinusoidNet
from fuxian.papers.maml.recipe import recipe
from fuxian.papers.maml.task_folder import read_numbers, read_pictures

OMNIGLOT = "omniglot-5way-1shot"
SINUSOID = "sinusoid-10shot"
MAML, _ = find_claim("maml")


@pytest.fixture
def predict(tmp_path):
    """``predict(claim, path, weights, ...)`` through the contract: the rows, and what holds for all of them."""
    out = tmp_path / "found"
    out.mkdir()

    def run(claim, path, weights, **options):
        made = MAML.predict(MAML.paper.claim(claim), path, weights, out, options)
        assert all(view.stat().st_size > 1000 for view in made.views) and made.views
        return {"predictions": made.rows, **made.about}

    return run


def evaluated(claim, net, task):
    """What the recipe's evaluation computes on the task: outputs [11, B, N], after 0 to 10 steps."""
    net.eval()
    arrays = [paddle.to_tensor(array[None]) for array in (task.support_x, task.support_y, task.query_x)]
    return recipe(claim).forward(net, arrays)[:, 0].numpy()


@pytest.mark.parametrize("steps", [10, 0, 3])
def test_pictures_get_the_probabilities_of_the_recipes_evaluation(predict, pictures, weights, steps):
    paddle.seed(1)
    net = OmniglotNet()
    task = read_pictures(pictures, 5)
    logits = evaluated(OMNIGLOT, net, task)[steps]
    made = predict(OMNIGLOT, pictures, weights(net), steps=steps)
    assert made["steps"] == steps
    assert made["support"] == 10
    assert [one["picture"] for one in made["predictions"]] == task.query_files
    for one, row in zip(made["predictions"], logits, strict=True):
        assert one["label"] == task.labels[row.argmax()]
        assert list(one["probabilities"]) == task.labels
        values = list(one["probabilities"].values())
        assert sum(values) == pytest.approx(1)
        assert values == pytest.approx(np.exp(row) / np.exp(row).sum(), abs=1e-5)


def test_support_pictures_are_named_by_their_own_labels(predict, pictures, weights, drawing):
    """Two of each, so that the query's statistics are the support's."""
    paddle.seed(2)
    for file in (pictures / "query").iterdir():
        file.unlink()
    for label in sorted((pictures / "support").iterdir()):
        for shot in sorted(label.iterdir()):
            (pictures / "query" / f"{label.name}-{shot.name}").write_bytes(shot.read_bytes())
    made = predict(OMNIGLOT, pictures, weights(OmniglotNet()))
    for one in made["predictions"]:
        assert one["picture"].startswith(f"{one['label']}-")


def test_numbers_get_the_predictions_of_the_recipes_evaluation(predict, numbers, weights):
    paddle.seed(3)
    net = SinusoidNet()
    outputs = evaluated(SINUSOID, net, read_numbers(numbers))[10]
    made = predict(SINUSOID, numbers, weights(net))
    assert [one["x"] for one in made["predictions"]] == [-1.0, 0.5, 2.0]
    assert [one["y"] for one in made["predictions"]] == pytest.approx(outputs[:, 0], rel=1e-5)


def test_nothing_to_predict_on_is_bad_input(predict, pictures, numbers, weights):
    for file in (pictures / "query").iterdir():
        file.unlink()
    with pytest.raises(InputError, match=r"pictures/query holds nothing to predict on"):
        predict(OMNIGLOT, pictures, weights(OmniglotNet()))
    (numbers / "query.csv").unlink()
    with pytest.raises(InputError, match=r"query\.csv holds nothing to predict on"):
        predict(SINUSOID, numbers, weights(SinusoidNet()))


def test_weights_of_another_network_are_bad_input(predict, numbers, weights):
    with pytest.raises(InputError, match=r"OmniglotNet\.safetensors: .* weights of this very model"):
        predict(SINUSOID, numbers, weights(OmniglotNet()))


@pytest.mark.parametrize("sick", ["weights", "steps"])
def test_numbers_that_are_not_finite_are_bad_input(predict, numbers, weights, sick):
    net = SinusoidNet()
    if sick == "weights":
        net.b3.set_value(np.array([np.nan], np.float32))
    else:
        (numbers / "support.csv").write_text("x,y\n1e30,1e30\n-1e30,1e30\n")
    with pytest.raises(InputError, match=r"after 10 steps .* no finite numbers"):
        predict(SINUSOID, numbers, weights(net))


def test_negative_steps_are_bad_input(predict, numbers, weights):
    with pytest.raises(InputError, match=r"--steps -1"):
        predict(SINUSOID, numbers, weights(SinusoidNet()), steps=-1)


def test_labels_that_look_like_formulas_are_drawn_as_they_are(predict, pictures, weights):
    (pictures / "support" / "alpha").rename(pictures / "support" / "$x^$")
    assert predict(OMNIGLOT, pictures, weights(OmniglotNet()))["predictions"]
