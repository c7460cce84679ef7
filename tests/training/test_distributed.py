"""Two processes under Paddle's launcher take the steps that one takes on the joint batch."""

import os
import subprocess
import sys

import numpy as np
import pytest

from fuxian.errors import InputError
from fuxian.training import checkpoints
from fuxian.training.distributed import share
from fuxian.training.log import read_log
from fuxian.weights import load_tensors

SCRIPT = """
import sys
from pathlib import Path
import numpy as np
import paddle
from fuxian.papers.maml.data import SinusoidTasks
from fuxian.papers.maml.recipe import recipe
from fuxian.training.fit import Length, fit
from dataclasses import replace

paddle.set_device("cpu")
even = replace(recipe("sinusoid-10shot"), train_data=lambda: SinusoidTasks(12, 24), accumulate=2)
fit(even, Path(sys.argv[1]), seed=0, length=Length(iterations=12, checkpoint_every=5))
"""
OWN_STEP = """
import sys
from pathlib import Path
import numpy as np
import paddle
from paddle import nn
from fuxian.recipe import Recipe
from fuxian.training.fit import Length, fit

paddle.set_device("cpu")


class Net(nn.Layer):
    def __init__(self):
        super().__init__()
        self.even, self.odd = nn.Linear(4, 1), nn.Linear(4, 1)

    def forward(self, x):
        # The first process's share reaches `even` alone, the second's `odd`.
        return paddle.concat([self.even(r) if i < 0 else self.odd(r) for i, r in zip(x[:, 0], x[:, None])])


def step(model, update, batch):
    error = ((model(*batch["inputs"]) - batch["targets"][0]) ** 2).mean()
    update(error, "even")
    error = ((model(*batch["inputs"]) - batch["targets"][0]) ** 2).mean()
    update(error)
    return {"total": error}


def batches():
    x = np.random.default_rng(0).standard_normal((4, 8, 4)).astype("float32")
    x[:, :4, 0], x[:, 4:, 0] = -1, 1
    return [{"inputs": (one,), "targets": (one.sum(1, keepdims=True) ** 3,)} for one in x]


def optimizers(model):
    halving = paddle.optimizer.lr.ReduceOnPlateau(0.1, factor=0.5, patience=0, threshold=0.5)
    return {
        "even": (paddle.optimizer.Adam(0.1, parameters=model.even.parameters()), None),
        "odd": (paddle.optimizer.Momentum(halving, parameters=model.odd.parameters()), halving),
    }


own = Recipe(model=Net, train_data=batches, step=step, optimizer=optimizers, schedule_every="epoch")
fit(own, Path(sys.argv[1]), seed=0, length=Length(iterations=12))
"""
DETECTOR = """
import sys
from collections.abc import Sequence
from pathlib import Path
import numpy as np
import paddle
from paddle import nn
from fuxian.recipe import Recipe
from fuxian.training.fit import Length, fit

paddle.set_device("cpu")


class Detector(nn.Layer):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2D(3, 8, 3, stride=2), nn.Tanh(), nn.AdaptiveAvgPool2D(1), nn.Flatten())
        self.head = nn.Linear(8, 4)

    def forward(self, pictures):
        return self.head(self.backbone(pictures))


class Pictures(Sequence):
    def __len__(self):
        return 12

    def __getitem__(self, place):
        random = np.random.default_rng(place)
        pictures = random.standard_normal((8, 3, 12, 12)).astype("float32")
        return {"inputs": (pictures,), "targets": ([random.random((n, 4)).astype("float32") for n in range(8)],)}


def loss(found, targets):
    # A picture may have no box at all.
    each = [(box - boxes).abs().sum() / max(len(boxes), 1) for box, boxes in zip(found, targets[0])]
    return {"total": paddle.stack(each).mean()}


def optimizers(model):
    decay = paddle.optimizer.lr.PolynomialDecay(0.05, 12)
    clip = nn.ClipGradByGlobalNorm(0.5)
    return {
        "backbone": (paddle.optimizer.Momentum(decay, parameters=model.backbone.parameters(), grad_clip=clip), decay),
        "head": (paddle.optimizer.AdamW(0.01, parameters=model.head.parameters()), None),
    }


def average(averaged, trained, updates):
    for mean, value in zip(averaged.parameters(), trained.parameters()):
        mean.set_value(0.8 * mean + 0.2 * value)


detector = Recipe(
    model=Detector, train_data=Pictures, loss=loss, optimizer=optimizers, average=average, batch_size=8
)
fit(detector, Path(sys.argv[1]), seed=0, length=Length(iterations=12, checkpoint_every=5), workers=1)
"""


def rows(count):
    return {
        "inputs": (np.arange(count), {"x": np.ones((count, 2))}),
        "targets": (np.arange(count), [np.ones((n, 4)) for n in range(count)], np.float32(0.5), "name"),
        "meta": 1,
    }


def test_the_shares_make_up_the_batch():
    parts = [share(rows(6), rank, 3) for rank in range(3)]
    np.testing.assert_array_equal(np.concatenate([part["inputs"][0] for part in parts]), np.arange(6))
    assert all(part["inputs"][1]["x"].shape == (2, 2) for part in parts)
    boxes = [boxes for part in parts for boxes in part["targets"][1]]
    assert [len(one) for one in boxes] == list(range(6)), "a ragged list is shared out by its entries"
    assert {part["targets"][2:] for part in parts} == {(0.5, "name")}
    assert len(share(rows(5), 0, 1)["inputs"][0]) == 5


def test_a_batch_that_is_not_what_the_recipe_says_is_refused():
    assert len(share(rows(6), 0, 2, batch_size=6)["inputs"][0]) == 3
    with pytest.raises(InputError, match="4 and 6 rows"):
        share(rows(6), 0, 2, batch_size=4)
    with pytest.raises(InputError, match="the same in each"):
        share(rows(6) | {"targets": [np.ones(4)] * 4}, 0, 2)


@pytest.mark.parametrize("count", [5, 1])
def test_a_batch_that_cannot_be_shared_evenly_is_refused(count):
    with pytest.raises(InputError, match="multiple of 2"):
        share(rows(count), 0, 2)


@pytest.mark.parametrize(
    "code", [SCRIPT, OWN_STEP, DETECTOR], ids=["accumulated", "own step", "ragged boxes, average, workers"]
)
def test_two_processes_train_as_one_with_the_joint_batch(tmp_path, code):
    """Gradients are accumulated over two steps, and a checkpoint falls between the two; or the step is the recipe's
    own, each share reaches other parameters, and a schedule follows the loss."""
    script = tmp_path / "train.py"
    script.write_text(code)
    launch = ["-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--log_dir", str(tmp_path / "logs")]
    runs = {}
    for name, launcher in (("one", []), ("two", launch)):
        runs[name] = tmp_path / name
        runs[name].mkdir()
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PADDLE_")}
        done = subprocess.run(
            [sys.executable, *launcher, str(script), str(runs[name])],
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
            env=environment,
            cwd=tmp_path,
        )
        logs = "".join(file.read_text()[-2000:] for file in tmp_path.glob("logs/workerlog.*"))
        assert done.returncode == 0, done.stderr + logs
    one, two = (
        load_tensors(checkpoints.weights_of(run / "checkpoints" / "step_00000012")) for run in runs.values()
    )
    for name, weight in one.items():
        np.testing.assert_allclose(two[name], weight, atol=1e-6 * np.abs(weight).max() + 1e-9, err_msg=name)
    lines, alone = (
        [line for line in read_log(runs[name] / "log.jsonl") if "loss" in line] for name in ("two", "one")
    )
    assert [line["step"] for line in lines] == list(range(1, 13)), "only the first process writes the log"
    for name in {"loss", "lr", "lr.odd"} & set(lines[0]):
        np.testing.assert_allclose([line[name] for line in lines], [line[name] for line in alone], rtol=1e-4)
