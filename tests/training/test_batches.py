"""Batches drawn by worker processes are those that the training's own process draws, bit by bit."""

import multiprocessing
import os
import random
from collections.abc import Sequence

import numpy as np
import paddle
import pytest

from fuxian.errors import InputError
from fuxian.recipe import Recipe, leaves, to_arrays
from fuxian.training.batches import batches, examples
from fuxian.training.fit import Length, fit


class Boxes(Sequence):
    """Five batches an epoch, in an order of its own; drawn from three generators, with boxes for each picture."""

    def __init__(self):
        self.order = random.sample(range(5), 5)

    def __len__(self):
        return 5

    def __getitem__(self, place):
        if not 0 <= place < 5:
            raise IndexError(place)
        picture = np.random.normal(size=(4, 3, 2, 2)) + paddle.rand([4, 3, 2, 2]).numpy() + self.order[place]
        boxes = [np.full((count, 4), random.random(), "float32") for count in (0, 2, 1, 3)]
        return {
            "inputs": (picture.astype("float32"), {"scale": np.float32(2.0), "kind": "train", "none": None}),
            "targets": (boxes, np.arange(4), np.array([True, False] * 2)),
            "meta": object(),
        }


def drawn(data, **how):
    recipe = Recipe(model=lambda: None, train_data=data)
    found = []
    for batch, begins in batches(recipe, seed=3, **{"start": 0, "stop": 12} | how):
        tree = {key: batch[key] for key in ("inputs", "targets")}
        assert isinstance(tree["targets"], tuple) and isinstance(tree["targets"][0], list)
        kept = [
            (path, leaf.dtype, leaf.shape, leaf.tobytes())
            if isinstance(leaf, (np.ndarray, np.generic))
            else leaf
            for path, leaf in leaves(to_arrays(tree))
        ]
        found.append((kept, begins))
    return found


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_draw_the_same_batches_from_any_start(workers):
    alone = drawn(Boxes)
    assert [begins for _, begins in alone] == [step % 5 == 0 for step in range(12)]
    assert len({str(kept) for kept, _ in alone}) == 12
    assert drawn(Boxes, workers=workers) == alone
    assert drawn(Boxes, workers=workers, start=7) == alone[7:]


def test_each_process_draws_its_share_alone_where_the_data_can():
    class Shared(Boxes):
        def share(self, index, rank, processes):
            assert processes == 2
            return {"inputs": (np.array([index, rank]),), "targets": ()}

    recipe = Recipe(model=lambda: None, train_data=Shared)
    read = batches(recipe, seed=0, start=4, stop=6, rank=1, processes=2)
    assert [batch["inputs"][0].tolist() for batch, _ in read] == [[4, 1], [0, 1]]


def test_examples_are_counted_as_the_recipe_says():
    batch = {"inputs": ([np.ones(3), np.ones(2)],), "targets": ()}
    assert examples(Recipe(model=lambda: None), batch, 2) == 4
    assert examples(Recipe(model=lambda: None, batch_size=6), batch, 2) == 6


def test_a_training_with_workers_is_the_same_and_resumes(tmp_path, line_recipe, assert_same_run):
    """Noise in the data and dropout in the model: what a worker draws must not shift what the step draws."""

    class Noisy(Sequence):
        def __len__(self):
            return 5

        def __getitem__(self, place):
            if os.getpid() != here:
                pids.touch()
            x = np.random.normal(size=(6, 3)).astype("float32")
            return {"inputs": (x,), "targets": (x.sum(1, keepdims=True),)}

    here, pids = os.getpid(), tmp_path / "drawn by another"

    def model():
        return paddle.nn.Sequential(paddle.nn.Linear(3, 8), paddle.nn.Dropout(0.5), paddle.nn.Linear(8, 1))

    recipe = line_recipe(model=model, train_data=Noisy)
    length = Length(iterations=12, checkpoint_every=7)
    fit(recipe, tmp_path / "alone", seed=0, length=length)
    assert not pids.exists()

    def interrupted(step, figures):
        if step == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(recipe, tmp_path / "workers", seed=0, length=length, workers=2, progress=interrupted)
    assert pids.exists()
    assert not multiprocessing.active_children()
    fit(recipe, tmp_path / "workers", seed=0, length=length, workers=2)
    assert_same_run(tmp_path / "alone", tmp_path / "workers")
    assert not multiprocessing.active_children()


def test_workers_need_a_sequence_and_their_bad_input_is_one_sentence():
    with pytest.raises(InputError, match="returned a generator"):
        drawn(lambda: (batch for batch in Boxes()), workers=1)

    class Broken(Boxes):
        def __getitem__(self, place):
            raise InputError("picture 7 is damaged; fetch it again.")

    with pytest.raises(InputError, match=r"^picture 7 is damaged; fetch it again\.$"):
        drawn(Broken, workers=1)
