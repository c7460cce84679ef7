"""Class centres over processes: two give what one gives, with all classes and with a sample of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuxian.papers.arcface.loss import margin_loss
from fuxian.papers.arcface.model import cosines
from fuxian.papers.arcface.partial_fc import PartialFC, sample_classes, shard
from fuxian.papers.arcface.settings import Margin

CLASSES, FEATURES, BATCH = 11, 5, 6
CHILD = """
import sys
import numpy as np, paddle, paddle.distributed as dist
from fuxian.papers.arcface.loss import Margin
from fuxian.papers.arcface.partial_fc import PartialFC
paddle.set_device("cpu")
dist.init_parallel_env()
paddle.set_default_dtype("float64")
folder, rate = sys.argv[1], float(sys.argv[2])
given = np.load(folder + "/given.npz")
head = PartialFC(len(given["weight"]), given["x"].shape[1], Margin(16.0), rate=rate)
head.weight.set_value(given["weight"][list(head.shard)])
size = len(given["x"]) // head.processes
mine = slice(head.rank * size, (head.rank + 1) * size)
x = paddle.to_tensor(given["x"][mine], stop_gradient=False)
loss = head(x, paddle.to_tensor(given["labels"][mine]), 3)
loss.backward()
np.savez(f"{folder}/found{head.rank}.npz", loss=loss.numpy(), x=x.grad.numpy(), weight=head.weight.grad.numpy())
"""


def _given(folder: Path) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    given = {
        "x": rng.standard_normal((BATCH, FEATURES)),
        "labels": rng.integers(0, CLASSES, BATCH),
        "weight": rng.standard_normal((CLASSES, FEATURES)),
    }
    np.savez(folder / "given.npz", **given)
    return given


def _alone(given: dict[str, np.ndarray], rate: float) -> tuple[float, np.ndarray, np.ndarray]:
    paddle.set_default_dtype("float64")
    try:
        head = PartialFC(CLASSES, FEATURES, Margin(16.0), rate=rate)
    finally:
        paddle.set_default_dtype("float32")
    head.weight.set_value(given["weight"])
    x = paddle.to_tensor(given["x"], stop_gradient=False)
    loss = head(x, paddle.to_tensor(given["labels"]), 3)
    loss.backward()
    return float(loss), x.grad.numpy(), head.weight.grad.numpy()


def _two(folder: Path, rate: float) -> list[dict[str, np.ndarray]]:
    (folder / "child.py").write_text(CHILD)
    command = [sys.executable, "-W", "ignore", "-m", "paddle.distributed.launch", "--nproc_per_node", "2"]
    command += ["--log_dir", str(folder / "log"), str(folder / "child.py")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(folder), str(rate)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    logs = "".join(file.read_text() for file in (folder / "log").glob("workerlog*"))
    assert done.returncode == 0, done.stderr[-2000:] + logs[-3000:]
    return [dict(np.load(folder / f"found{rank}.npz")) for rank in (0, 1)]


@pytest.mark.parametrize("rate", [1.0, 0.7])
def test_two_processes_give_the_loss_and_gradients_of_one(tmp_path, rate):
    given = _given(tmp_path)
    loss, x, weight = _alone(given, rate)
    first, second = _two(tmp_path, rate)
    assert float(first["loss"]) == pytest.approx(loss, rel=1e-14)
    assert float(second["loss"]) == float(first["loss"])
    # Data-parallel training divides the network's gradients by the number of processes.
    np.testing.assert_allclose(np.concatenate([first["x"], second["x"]]) / 2, x, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(
        np.concatenate([first["weight"], second["weight"]]), weight, rtol=1e-12, atol=1e-15
    )


def test_all_classes_are_the_plain_margin_loss(tmp_path):
    given = _given(tmp_path)
    loss, slope, _ = _alone(given, 1.0)
    x = paddle.to_tensor(given["x"], stop_gradient=False)
    plain = margin_loss(
        cosines(x, paddle.to_tensor(given["weight"])), paddle.to_tensor(given["labels"]), Margin(16.0)
    )
    plain.backward()
    assert loss == pytest.approx(float(plain), rel=1e-14)
    np.testing.assert_allclose(slope, x.grad.numpy(), rtol=1e-11, atol=1e-15)


@given(
    st.integers(1, 60).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n - 1), min_size=1))),
    st.floats(0.01, 1.0),
    st.integers(0, 5),
)
def test_a_sample_has_every_label_and_the_asked_share(drawn, rate, step):
    classes, labels = drawn
    sampled = sample_classes(np.array(labels), classes, rate, (0, step))
    assert (
        len(sampled)
        == len(set(sampled.tolist()))
        == max(len(set(labels)), int(rate * classes) if rate < 1 else classes)
    )
    assert set(labels) <= set(sampled.tolist())
    assert (np.diff(sampled) > 0).all()


def test_the_sample_changes_with_the_step_and_not_with_the_call():
    labels = np.array([3])
    assert not np.array_equal(
        sample_classes(labels, 100, 0.2, (0, 1)), sample_classes(labels, 100, 0.2, (0, 2))
    )
    assert np.array_equal(sample_classes(labels, 100, 0.2, (0, 1)), sample_classes(labels, 100, 0.2, (0, 1)))


@given(st.integers(0, 100), st.integers(1, 8))
def test_the_shards_are_even_and_in_order(classes, processes):
    parts = [shard(classes, rank, processes) for rank in range(processes)]
    assert [c for part in parts for c in part] == list(range(classes))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
