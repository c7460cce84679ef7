"""Runs that were killed and resumed, against runs that never were: every bit of state and log is the same."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fuxian.papers.maml.recipe import recipe as maml
from fuxian.training.fit import Length, fit

SINUSOID = Length(iterations=300, log_every=30, checkpoint_every=20, evaluate_every=100)


def last_step(run: Path) -> int:
    """The step of the newest checkpoint."""
    return max((int(place.name[5:]) for place in run.glob("checkpoints/step_*")), default=0)


def killed_and_resumed(command: list[str], run: Path, end: int, kills: int) -> None:
    """Starts the command again and again; the first ``kills`` times it is killed at some point of its training."""
    seed = random.randrange(10**6)
    print(f"moments of killing drawn with seed {seed}")
    rng = random.Random(seed)
    killed = 0
    for number in range(kills):
        target = rng.randrange(end * number // kills, end * (number + 1) // kills)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while last_step(run) < target and process.poll() is None:
            time.sleep(0.002)
        time.sleep(rng.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    assert killed, "the training was over before it could be killed"
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def test_killed_sinusoid_training_ends_bit_identically(tmp_path, assert_same_run):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for run in (whole, broken):
        run.mkdir()
    fit(maml("sinusoid-10shot", iterations=300, eval_split="validation"), whole, seed=0, length=SINUSOID)
    plan = {"paper": "maml", "claim": "sinusoid-10shot", "seeds": [0], "quick": False, "device": "cpu"}
    (broken / "config.json").write_text(json.dumps(plan | vars(SINUSOID)))
    command = [sys.executable, "-m", "fuxian.cli.main", "train", "--resume", str(broken)]
    killed_and_resumed(command, broken, 280, kills=3)
    assert last_step(broken) == 300
    assert_same_run(whole, broken)


@pytest.fixture(scope="module")
def whole_hard_run(tmp_path_factory, hard):
    """The hard recipe's training without an interruption."""
    run = tmp_path_factory.mktemp("whole")
    fit(hard.recipe(), run, seed=hard.SEED, length=hard.LENGTH)
    return run


def test_killed_training_of_the_hard_recipe_ends_bit_identically(
    tmp_path, hard, whole_hard_run, assert_same_run
):
    killed_and_resumed([sys.executable, hard.__file__, str(tmp_path)], tmp_path, 140, kills=2)
    assert_same_run(whole_hard_run, tmp_path)


class Interrupted(Exception):
    pass


def interrupted_at(*steps: int):
    """A progress that stops the training at each of these steps once, as a kill before that step's checkpoint."""
    left = set(steps)

    def progress(step, figures):
        if step in left:
            left.remove(step)
            raise Interrupted

    return progress


@pytest.mark.parametrize("steps", [(1,), (7, 8), (22, 77), (100, 101, 149), (150,), tuple(range(5, 150, 13))])
def test_the_hard_recipe_may_stop_at_any_step(tmp_path, hard, whole_hard_run, assert_same_run, steps):
    """Checkpoints come every 7 steps: in the middle of epochs, of accumulations and of log lines."""
    progress = interrupted_at(*steps)
    for _ in steps:
        with pytest.raises(Interrupted):
            fit(hard.recipe(), tmp_path, seed=hard.SEED, length=hard.LENGTH, progress=progress)
    fit(hard.recipe(), tmp_path, seed=hard.SEED, length=hard.LENGTH, progress=progress)
    assert_same_run(whole_hard_run, tmp_path)


def test_what_a_killed_run_logged_beyond_its_checkpoint_is_logged_once(tmp_path, line_recipe, log_of):
    length = Length(iterations=30, log_every=1, checkpoint_every=10)
    with pytest.raises(Interrupted):
        fit(line_recipe(), tmp_path, seed=0, length=length, progress=interrupted_at(17))
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"step": 18, "lo')
    fit(line_recipe(), tmp_path, seed=0, length=length)
    assert [line["step"] for line in log_of(tmp_path)] == list(range(1, 31))


def test_drafts_that_a_killed_process_left_are_swept_up(tmp_path, line_recipe):
    draft = tmp_path / "checkpoints" / ".step_00000010"
    draft.mkdir(parents=True)
    (draft / "model.safetensors").write_bytes(os.urandom(10))
    fit(line_recipe(), tmp_path, seed=0, length=Length(iterations=2))
    assert [place.name for place in (tmp_path / "checkpoints").iterdir()] == ["step_00000002"]


@pytest.mark.parametrize("shuffles", ["when made", "when read"])
def test_data_that_shuffle_resume_in_the_middle_of_an_epoch(tmp_path, line_recipe, assert_same_run, shuffles):
    batches = line_recipe().train_data()

    def shuffled_list():
        return random.sample(batches, len(batches))

    class Shuffling:
        def __iter__(self):
            return iter(shuffled_list())

    recipe = line_recipe(train_data=shuffled_list if shuffles == "when made" else Shuffling)
    length = Length(iterations=40, checkpoint_every=3)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for run in (whole, broken):
        run.mkdir()
    fit(recipe, whole, seed=0, length=length)
    with pytest.raises(Interrupted):
        fit(recipe, broken, seed=0, length=length, progress=interrupted_at(23))
    fit(recipe, broken, seed=0, length=length)
    assert_same_run(whole, broken)


def test_ctrl_c_writes_a_checkpoint_that_goes_on_bit_identically(tmp_path):
    """In the middle of a step's work; what follows is as if there had been none."""
    from fuxian.weights import load_tensors

    length = Length(iterations=60, log_every=30, checkpoint_every=1000)

    def press(step, figures):
        if step == 37:
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for name, progress in (("whole", None), ("broken", press)):
            training = {"seed": 0, "length": length, **({"progress": progress} if progress else {})}
            recipe = maml("sinusoid-10shot", iterations=60, eval_split="validation")
            if progress:
                with pytest.raises(KeyboardInterrupt):
                    fit(recipe, tmp_path / name, **training)
                assert last_step(tmp_path / name) in (37, 38)
                fit(recipe, tmp_path / name, seed=0, length=length)
            else:
                fit(recipe, tmp_path / name, **training)
    finally:
        signal.signal(signal.SIGINT, before)
    whole, broken = (
        load_tensors(tmp_path / name / "checkpoints/step_00000060/model.safetensors")
        for name in ("whole", "broken")
    )
    assert all((broken[name] == whole[name]).all() for name in whole)
