"""Every paper's training on two processes is the one that one process makes of the joint batches.

Where batches are normalised, a share is by its own numbers: there the one process takes the shares one after the other
and accumulates their gradients. Networks are small and batches generated.
"""

import os
import subprocess
import sys

import numpy as np
import pytest

from fuxian.training import checkpoints
from fuxian.weights import load_tensors

PAPERS = ("arcface", "dmr", "maml", "portraitnet", "psenet", "sparse-rcnn")
STEPS = 2
SCRIPT = f"""
import sys
from dataclasses import replace
from pathlib import Path

import paddle

from fuxian.papers.arcface import recipe as arcface
from fuxian.papers.dmr import recipe as dmr
from fuxian.papers.maml import recipe as maml
from fuxian.papers.portraitnet import recipe as portraitnet
from fuxian.papers.psenet import recipe as psenet
from fuxian.papers.psenet.settings import SETTINGS as PSENET
from fuxian.papers.sparse_rcnn import recipe as sparse_rcnn
from fuxian.papers.sparse_rcnn.settings import ALIGNED
from fuxian.training.distributed import share
from fuxian.training.fit import Length, fit

paddle.set_device("cpu")
out, alone = Path(sys.argv[1]), sys.argv[2] == "one"
papers = {{
    "arcface": arcface.aligned(),
    "dmr": dmr.aligned(),
    "maml": maml.omniglot(),
    "portraitnet": portraitnet.aligned("training"),
    "psenet": psenet.recipe(setting=replace(PSENET["ic15-own-split"], rendered=1.0, crop=64, batch=4)),
    "sparse-rcnn": sparse_rcnn.recipe(setting=replace(ALIGNED["coco-r50"], batch=4)),
}}
by_share = {{"arcface", "dmr", "portraitnet", "psenet"}}
for name, recipe in papers.items():
    data = recipe.train_data()
    batches = [data[number] for number in range({STEPS})]
    apart = alone and name in by_share
    if apart:
        batches = [share(batch, rank, 2) for batch in batches for rank in (0, 1)]
    # Adam makes steps of the whole rate of gradients that are 0 but for rounding.
    sgd = lambda model: paddle.optimizer.SGD(
        0.01, parameters=[one for one in model.parameters() if not one.stop_gradient]
    )
    made = replace(
        recipe,
        train_data=lambda batches=batches: batches,
        eval_data=None,
        metric=None,
        optimizer=lambda model: (sgd(model), None),
        accumulate=2 if apart else 1,
    )
    place = out / name
    place.mkdir(exist_ok=True)
    fit(made, place, seed=0, length=Length(iterations=len(batches), checkpoint_every=1))
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folders of what one process and two made, each with a run of every paper."""
    folder = tmp_path_factory.mktemp("processes")
    script = folder / "train.py"
    script.write_text(SCRIPT)
    launch = ["-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--log_dir", str(folder / "logs")]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PADDLE_")}
    for name, launcher in (("one", []), ("two", launch)):
        (folder / name).mkdir()
        done = subprocess.run(
            [sys.executable, *launcher, str(script), str(folder / name), name],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env=environment,
            cwd=folder,
        )
        logs = "".join(file.read_text()[-2000:] for file in folder.glob("logs/workerlog.*"))
        assert done.returncode == 0, done.stderr[-3000:] + logs
    return folder


def weights(run):
    """Of the last checkpoint but one, and of the last: a step of the optimizer lies between them."""
    return [
        load_tensors(checkpoints.weights_of(place)) for place in sorted((run / "checkpoints").iterdir())[-2:]
    ]


@pytest.mark.parametrize("paper", PAPERS)
def test_two_processes_train_as_one_on_the_joint_batches(runs, paper):
    begun, one = weights(runs / "one" / paper)
    _, two = weights(runs / "two" / paper)
    size = {name: np.linalg.norm(weight) for name, weight in one.items()}
    step = {name: np.linalg.norm(weight - begun[name]) for name, weight in one.items()}
    trained = [name for name in one if not name.endswith(("_mean", "_variance"))]
    assert sum(step[name] > 1e-5 * size[name] for name in trained) > len(trained) / 3
    # Gradients that are 0 but for rounding move weights by less than this.
    least = 1e-5 * max(step[name] for name in trained)
    for name in trained:
        assert np.linalg.norm(two[name] - one[name]) <= 1e-3 * step[name] + 1e-6 * size[name] + least, name
