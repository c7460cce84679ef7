"""The hash chain of a training: what it holds together, and that a replay from a kept checkpoint arrives at it."""

import json
import os
import shutil
import subprocess
import sys

import paddle
import pytest

from fuxian.errors import InputError
from fuxian.training import chain, checkpoints
from fuxian.training.exact_roots import fingerprint
from fuxian.training.fit import Length, fit
from fuxian.training.log import read_log
from fuxian.training.numeric_mode import OVERRULES, PORTABLE

LENGTH = Length(iterations=12, log_every=5, checkpoint_every=2)


@pytest.fixture
def recipe(line_recipe):
    return line_recipe(
        optimizer=lambda model: (paddle.optimizer.Adam(0.1, parameters=model.parameters()), None)
    )


@pytest.fixture
def trained(recipe, tmp_path):
    fit(recipe, tmp_path / "run", seed=3, length=LENGTH)
    return tmp_path / "run"


def test_every_checkpoint_is_a_link_and_the_kept_ones_have_the_digest_that_the_log_says(trained):
    made = chain.read_chain(read_log(trained / "log.jsonl"))
    assert (made.seed, [link.step for link in made.links]) == (3, [0, 2, 4, 6, 8, 10, 12])
    assert made.roots == fingerprint()
    kept = sorted((trained / "checkpoints").glob("step_*"))
    states = {link.step: link.state for link in made.links}
    assert len(kept) == 6
    for place in kept:
        assert chain.stored_digest(place) == states[int(place.name.removeprefix("step_"))]


def test_a_fast_log_names_the_variables_that_its_bits_depend_on(recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("MKL_DEBUG_CPU_TYPE", "5")
    fit(recipe, tmp_path / "run", seed=3, length=LENGTH)
    lines = read_log(tmp_path / "run" / "log.jsonl")
    assert chain.read_chain(lines).variables["MKL_DEBUG_CPU_TYPE"] == "5"


@pytest.mark.parametrize(
    "said",
    [
        {"LD_PRELOAD": "x.so"},
        {"MKL_CBWR": "a b"},
        {"MKL_CBWR": 5},
        {"MKL_CBWR": "A" * 21},
        "MKL_CBWR=1",
        None,
    ],
)
def test_a_log_sets_no_variable_but_those_and_these_to_plain_words(trained, said):
    lines = read_log(trained / "log.jsonl")
    lines[0]["variables"] = said
    assert chain.read_chain(lines).variables == {}


def test_a_replay_from_a_kept_checkpoint_arrives_at_the_next_ones_digest(trained, recipe, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(trained / "checkpoints" / "step_00000006", again / "checkpoints" / "step_00000006")
    fit(recipe, again, seed=3, length=Length(iterations=8, log_every=5, checkpoint_every=2))
    made = chain.read_chain(read_log(trained / "log.jsonl"))
    assert chain.stored_digest(again / "checkpoints" / "step_00000008") == made.links[4].state
    assert made.links[4].step == 8


def test_few_checkpoints_are_kept_where_the_budget_is_small(recipe, tmp_path):
    one = fit_size(recipe, tmp_path)
    fit(
        recipe,
        tmp_path / "run",
        seed=3,
        length=Length(iterations=12, checkpoint_every=1, keep_bytes=int(4.5 * one)),
    )
    kept = [int(place.name[5:]) for place in sorted((tmp_path / "run" / "checkpoints").glob("step_*"))]
    assert kept == [3, 6, 9, 11, 12]  # the two newest are always there


def fit_size(recipe, tmp_path):
    fit(recipe, tmp_path / "one", seed=3, length=Length(iterations=1))
    place = checkpoints.latest(tmp_path / "one" / "checkpoints")
    return sum(file.stat().st_size for file in place.iterdir())


def _tampered(lines, change):
    number = next(number for number, line in enumerate(lines) if line.get("step") == 6 and "chain" in line)
    change(lines, number)
    return lines


@pytest.mark.parametrize(
    "change",
    [
        lambda lines, at: lines[at].update(state="0" * 64),
        lambda lines, at: lines[at].update(chain="0" * 64),
        lambda lines, at: lines.pop(at),
        lambda lines, at: lines.insert(at, lines[at]),
        lambda lines, at: lines[0].update(seed=4),
        lambda lines, at: lines[0].update(
            numeric_mode="portable" if lines[0]["numeric_mode"] == "fast" else "fast"
        ),
        lambda lines, at: lines[0].update(numeric_mode="other"),
        lambda lines, at: lines[at].update(step="six"),
    ],
)
def test_a_changed_link_breaks_the_chain(trained, change):
    lines = _tampered(read_log(trained / "log.jsonl"), change)
    with pytest.raises(InputError, match="chain of checkpoints"):
        chain.read_chain(lines)


def test_a_log_without_a_chain_has_none():
    assert chain.read_chain([{"step": 1, "loss": 2.0}]) is None


PORTABLE_TRAINING = """
import hashlib, sys
import numpy as np
from fuxian.training import numeric_mode
numeric_mode.make_portable()
assert numeric_mode.current() == "portable"
import paddle
from paddle import nn
paddle.seed(0)
net = nn.Sequential(
    nn.Conv2D(3, 16, 3, padding=1), nn.BatchNorm2D(16), nn.GELU(), nn.Conv2D(16, 32, 3, stride=2, groups=2),
    nn.GroupNorm(4, 32), nn.LeakyReLU(0.2), nn.Conv2DTranspose(32, 8, 4, stride=2), nn.Flatten(),
    nn.Linear(8 * 16 * 16, 64), nn.LayerNorm(64), nn.Linear(64, 10),
)
optimizer = paddle.optimizer.AdamW(1e-3, parameters=net.parameters())
draws = np.random.default_rng(0)
for _ in range(8):
    x = paddle.to_tensor(draws.normal(size=(8, 3, 16, 16)).astype("float32"))
    y = paddle.to_tensor(draws.integers(0, 10, 8))
    nn.functional.cross_entropy(net(x), y).backward()
    optimizer.step()
    optimizer.clear_grad()
print(hashlib.sha256(b"".join(value.numpy().tobytes() for value in net.state_dict().values())).hexdigest())
"""


def test_the_portable_mode_gives_the_same_bits_whatever_code_the_processor_would_choose():
    digests = set()
    for limits in (
        {},
        {"MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "ONEDNN_MAX_CPU_ISA": "SSE41"},
        {"MKL_ENABLE_INSTRUCTIONS": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
        {"MKL_DEBUG_CPU_TYPE": "7", "OMP_NUM_THREADS": "2"},
    ):
        environment = {
            name: value for name, value in os.environ.items() if name not in (*PORTABLE, OVERRULES)
        }
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", PORTABLE_TRAINING],
            env={**environment, **limits},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout.split()[-1])
    assert len(digests) == 1


def test_a_resumed_training_goes_on_in_its_own_mode(tmp_path):
    run = tmp_path / "runs"
    command = [sys.executable, "-m", "fuxian.cli.main"]
    short = ["train", "maml/sinusoid-10shot", "--iterations", "20", "--seeds", "1", "--out", str(run)]
    environment = {name: value for name, value in os.environ.items() if name not in (*PORTABLE, OVERRULES)}
    subprocess.run([*command, *short, "--reproducible"], env=environment, check=True, capture_output=True)
    (folder,) = run.iterdir()
    config = json.loads((folder / "config.json").read_text())
    assert config["numeric_mode"] == "portable"
    assert config["command"].endswith("--reproducible")
    config["iterations"] += 1
    (folder / "config.json").write_text(json.dumps(config))
    subprocess.run(
        [*command, "train", "--resume", str(folder)], env=environment, check=True, capture_output=True
    )
    made = chain.read_chain(read_log(folder / "log.jsonl"))
    assert made.numeric_mode == "portable"
    assert made.links[-1].step == config["iterations"]
