"""Tasks: what they hold, and that each meta-batch follows from seed and index alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuxian.papers.maml.data import OmniglotEpisodes, SinusoidTasks, omniglot_episodes, split_characters

NAMES = [f"Alphabet{i % 50:02}/character{i // 50:02}" for i in range(1623)]


def drawings(characters: int = 12) -> np.ndarray:
    """Pictures that say in every pixel whose they are, but for one corner that shows how they are turned."""
    images = np.empty((characters, 20, 28, 28), np.uint8)
    for character in range(characters):
        for drawer in range(20):
            images[character, drawer] = 20 * character + drawer + 1
    images[:, :, 0, 0] = 0
    return images


def episodes(**changes) -> OmniglotEpisodes:
    parts = {"length": 20, "tasks": 4, "ways": 5, "shots": 2, "seed": 0} | changes
    return OmniglotEpisodes(drawings(), np.arange(2, 12), **parts)


def same(one, other) -> bool:
    pairs = zip((*one["inputs"], *one["targets"]), (*other["inputs"], *other["targets"]), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_splits_are_the_papers_in_size_disjoint_and_whole():
    parts = [split_characters(NAMES, split) for split in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [1100, 100, 423]
    assert sorted(np.concatenate(parts)) == list(range(1623))


def test_splits_are_the_same_on_every_machine():
    """They follow from the names, whatever order these come in; and today's are what they were."""
    shuffled = NAMES[::-1]
    for split in ("train", "validation", "test"):
        ours = {NAMES[i] for i in split_characters(NAMES, split)}
        assert ours == {shuffled[i] for i in split_characters(shuffled, split)}
    assert split_characters(NAMES, "test")[:4].tolist() == [1527, 905, 544, 55]


def test_splits_of_the_real_names_are_the_papers(data_root):
    from fuxian.datasets import omniglot

    if not (data_root / "omniglot").is_dir():
        pytest.skip(f"Omniglot is not in {data_root}")
    data = omniglot.load(data_root)
    parts = {split: split_characters(data.names, split) for split in ("train", "validation", "test")}
    assert {split: len(part) for split, part in parts.items()} == {
        "train": 1100,
        "validation": 100,
        "test": 423,
    }


@pytest.mark.parametrize(
    "stream", [SinusoidTasks(20, seed=3), episodes(seed=3)], ids=["sinusoid", "omniglot"]
)
def test_a_meta_batch_follows_from_seed_and_index_alone(stream):
    again = type(stream)(**vars(stream))
    first = [stream[index] for index in range(4)]
    np.random.seed(99)
    for index in (3, 0, 2, 1):
        assert same(again[index], first[index])
    assert not same(first[0], first[1])
    other = type(stream)(**vars(stream) | {"seed": 4})
    assert not same(other[0], first[0])
    longer = type(stream)(**vars(stream) | {"length": 1000})
    assert same(longer[3], first[3])


@pytest.mark.parametrize("stream", [SinusoidTasks(3), episodes(length=3)], ids=["sinusoid", "omniglot"])
def test_a_stream_ends(stream):
    assert len(stream) == 3
    assert sum(1 for _ in stream) == 3
    for outside in (3, 100, -1):
        with pytest.raises(IndexError):
            stream[outside]


@given(index=st.integers(0, 10**6), seed=st.integers(0, 2**32))
def test_sinusoids_are_the_papers(index, seed):
    """One amplitude in [0.1, 5] and phase in [0, pi] explain all 20 points of a task, support and query."""
    batch = SinusoidTasks(10**6 + 1, tasks=3, seed=seed)[index]
    (x, y, new_x), (new_y,) = batch["inputs"], batch["targets"]
    assert all(array.shape == (3, 10, 1) and array.dtype == np.float32 for array in (x, y, new_x, new_y))
    x, y = np.concatenate([x, new_x], 1)[..., 0], np.concatenate([y, new_y], 1)[..., 0]
    assert x.min() >= -5 and x.max() <= 5
    for task in range(3):
        basis = np.stack([np.sin(x[task]), np.cos(x[task])], 1).astype(np.float64)
        (sine, cosine), *_ = np.linalg.lstsq(basis, y[task], rcond=None)
        np.testing.assert_allclose(basis @ [sine, cosine], y[task], atol=1e-4)
        amplitude, phase = np.hypot(sine, cosine), np.arctan2(-cosine, sine)
        assert 0.1 - 1e-3 < amplitude < 5 + 1e-3 and -0.02 < phase < np.pi + 0.02


def test_episodes_have_the_shapes_and_the_order_of_the_official_code():
    batch = episodes()[0]
    (support, labels, query), (query_labels,) = batch["inputs"], batch["targets"]
    assert support.shape == query.shape == (4, 10, 28, 28) and labels.shape == (4, 10, 5)
    assert all(array.dtype == np.float32 for array in (support, labels, query, query_labels))
    assert support.min() >= 0 and max(support.max(), query.max()) <= 1
    np.testing.assert_array_equal(labels, query_labels)
    np.testing.assert_array_equal(labels.argmax(-1), np.tile(np.arange(5), (4, 2)))


def marks_of(pictures: np.ndarray) -> np.ndarray:
    """20 times the character plus the drawer, of each picture."""
    return np.rint(pictures[..., 14, 14] * 255).astype(int) - 1


def test_support_and_query_are_different_drawings_of_the_same_characters():
    for index in range(20):
        (support, labels, query), _ = episodes()[index].values()
        for task in range(4):
            support_marks, query_marks = marks_of(support[task]), marks_of(query[task])
            assert len({*support_marks, *query_marks}) == 20
            ways = labels[task].argmax(-1)
            characters = [
                {*support_marks[ways == way] // 20, *query_marks[ways == way] // 20} for way in range(5)
            ]
            assert [len(one) for one in characters] == [1] * 5
            assert len(set.union(*characters)) == 5


def test_every_character_of_a_task_is_turned_as_one_and_all_turns_come():
    corners = {(0, 0): 0, (27, 0): 1, (27, 27): 2, (0, 27): 3}
    seen = set()
    for index in range(10):
        (support, labels, query), _ = episodes()[index].values()
        pictures, ways = np.concatenate([support, query], 1), np.tile(labels.argmax(-1), (1, 2))
        for task in range(4):
            turns = set()
            for way in range(5):
                of_way = {
                    turn
                    for picture in pictures[task][ways[task] == way]
                    for corner, turn in corners.items()
                    if picture[corner] == 0
                }
                assert len(of_way) == 1
                turns |= of_way
            seen.add(frozenset(turns))
    assert any(len(turns) > 1 for turns in seen), "characters of one task turn independently"
    assert set().union(*seen) == {0, 1, 2, 3}


def test_only_the_splits_characters_come():
    for index in range(20):
        (support, _, query), _ = episodes()[index].values()
        assert marks_of(np.concatenate([support, query])).min() >= 2 * 20


def test_real_episodes_show_ink_on_an_empty_ground(data_root, monkeypatch):
    if not (data_root / "omniglot").is_dir():
        pytest.skip(f"Omniglot is not in {data_root}")
    monkeypatch.setenv("FUXIAN_DATA", str(data_root))
    batch = omniglot_episodes("test", length=1, tasks=2, ways=5, shots=1, seed=0)[0]
    pictures = batch["inputs"][0]
    assert set(np.unique(pictures)) == {0.0, 1.0}
    assert 0.02 < pictures.mean() < 0.3
