"""Histories know nothing of the future, tests nothing of the training, and files say where they are wrong."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from fuxian.datasets import find_root, movielens
from fuxian.errors import InputError
from fuxian.papers.dmr.alimama import COLUMNS, StreamedBatches, blocks, examples
from fuxian.papers.dmr.data import TestBatches, TrainBatches, clicks
from fuxian.papers.dmr.draw import draw
from fuxian.papers.dmr.reference.cases import case, sample_file
from fuxian.papers.dmr.settings import ALIMAMA, MOVIELENS, MOVIES, Setting, narrow

SMALL = narrow(MOVIELENS)


def known_of(which):
    if which == "movielens" and not (find_root() / "ml-100k" / "u.data").is_file():
        pytest.skip("MovieLens 100k is not on this machine")
    return clicks(MOVIES.layout if which == "movielens" else SMALL)


@pytest.mark.parametrize("which", ["generated", "movielens"])
def test_a_history_is_what_the_user_rated_before(which):
    known = known_of(which)
    data, history = known.data, known.history
    for place in np.random.default_rng(0).integers(0, len(data.user), 300):
        own = history[place][history[place] >= 0]
        assert (data.user[own] == data.user[place]).all()
        assert (data.second[own] < data.second[place]).all() and (np.diff(own) > 0).all()
        # As long as there is something to put there, nothing is left out; the newest is last.
        earlier = ((data.user == data.user[place]) & (data.second < data.second[place])).sum()
        assert len(own) == min(earlier, history.shape[1])
        assert (history[place][history.shape[1] - len(own) :] >= 0).all()


@pytest.mark.parametrize("which", ["generated", "movielens"])
def test_parts_follow_each_other_in_time_and_movies_not_taken_were_never_taken(which):
    known = known_of(which)
    parts = [known.of(split) for split in ("train", "validation", "test")]
    np.testing.assert_array_equal(np.concatenate(parts), np.arange(len(known.data.user)))
    assert (np.diff(known.data.second) >= 0).all()
    others = known.others(parts[2], np.random.default_rng(1))
    assert not known.taken[known.data.user[parts[2]], others].any()
    trained = set(known.data.movie[: parts[2][0]])
    assert set(others) <= trained and 0 not in others


def test_training_batches_are_a_function_of_seed_and_step():
    known = clicks(SMALL)
    one, again, other = (TrainBatches(known, 16, 40, seed) for seed in (0, 0, 1))
    for step in (0, 39, 7):
        for a, b in zip(one[step]["inputs"], again[step]["inputs"], strict=True):
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one[0]["inputs"][4], other[0]["inputs"][4])
    assert one[3]["targets"][0].sum() == 8
    with pytest.raises(IndexError):
        one[40]


def test_a_drawn_test_has_whole_users_and_other_movies_by_its_seed():
    known = clicks(SMALL)
    one, again, other = (TestBatches(known, "test", seed) for seed in (5, 5, 6))
    ids = [name for batch in one for name in batch["ids"]]
    users = np.concatenate([batch["targets"][1] for batch in one])
    assert len(ids) == len(set(ids)) == len(np.unique(users))
    for batch in one:
        assert {f"user-{user:04d}" for user in batch["targets"][1]} == set(batch["ids"])
    for a, b in zip(one, again, strict=True):
        np.testing.assert_array_equal(a["inputs"][4], b["inputs"][4])
    clicked = {
        seed: sorted(
            (int(user), int(movie))
            for batch in drawn
            for user, movie, click in zip(
                batch["targets"][1], batch["inputs"][4][:, 0], batch["targets"][0], strict=True
            )
            if click == which
        )
        for which in (0, 1)
        for seed, drawn in ((("one", which), one), (("other", which), other))
    }
    assert clicked["one", 1] == clicked["other", 1] and clicked["one", 0] != clicked["other", 0]
    # Clicks and the others are mixed, so that a row's place tells nothing.
    first = one[0]["targets"][0]
    assert 0 < first[: len(first) // 2].sum() < len(first) // 2


def test_the_papers_own_rows_have_nothing_to_draw():
    with pytest.raises(InputError, match="one official test file"):
        draw("alimama", 1)


def line(**changes: str) -> str:
    words = ["1"] * COLUMNS
    for column, word in changes.items():
        words[int(column[1:]) - 1] = word
    return ",".join(words)


def test_the_official_sample_is_read():
    if not sample_file().is_file():
        pytest.skip("the official sample of the Alimama data is not on this machine")
    rows = np.concatenate(list(blocks(sample_file(), 128)))
    assert rows.shape == (500, COLUMNS) and rows[:, -1].sum() == 210
    inputs, clicked = examples(rows)
    history, mask, before, user, target, price = inputs
    assert history.shape == (500, 50, 3) and target.shape == (500, 6) and user.shape == (500, 9)
    # Of four short histories two have a single step, so that nothing can be predicted from before it.
    assert (mask.sum(1) < 50).sum() == 4 and (before == 0).sum() == 2
    np.testing.assert_array_equal(target[:, [0, 1, 3, 4, 2]], rows[:, 259:264])
    assert price.min() > 0.5 and clicked.sum() == 210


def test_batches_stream_in_the_official_order_and_the_last_is_short(tmp_path):
    rows = case("made-up").batches[0][:7]
    rows[:, 259] = np.arange(7)
    file = tmp_path / "clicks.txt"
    np.savetxt(file, rows, fmt="%.9g", delimiter=",")
    setting = Setting(ALIMAMA, sampled=50, batch=2)
    found = list(StreamedBatches(file, setting, seed=0))
    # The iterator fills a block and takes from its end.
    assert [batch["inputs"][4][:, 0].tolist() for batch in found] == [[6, 5], [4, 3], [2, 1], [0]]
    again = list(StreamedBatches(file, setting, seed=0))
    other = list(StreamedBatches(file, setting, seed=1))
    for one, two, three in zip(found, again, other, strict=True):
        assert len(one["inputs"]) == 9 and (one["targets"][1] == 0).all()
        np.testing.assert_array_equal(one["inputs"][6], two["inputs"][6])
        assert not np.array_equal(one["inputs"][6], three["inputs"][6])
    test = list(StreamedBatches(file, setting, seed=0, training=False))
    assert all(len(batch["inputs"]) == 6 for batch in test)
    np.testing.assert_array_equal(test[0]["targets"][1], rows[[6, 5], 250])


def test_a_file_larger_than_what_is_held_of_it_is_read_to_its_end(tmp_path):
    """The long one is benchmarks/dmr_step.py: 5 million rows."""
    file = tmp_path / "clicks.txt"
    lines = [line(c260=str(number)) for number in range(100)]
    with file.open("w") as out:
        for _ in range(20):
            out.write("\n".join(lines) + "\n")
    tracemalloc.start()
    read = sum(len(rows) for rows in blocks(file, 20))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert read == 2000 and most < file.stat().st_size / 2


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "is empty"),
        ("1,2,3\n", "line 1: 3 columns"),
        (f"{line()}\n{line(c7='x')}\n", "line 2, column 7: b'x' is no number"),
        (
            f"{line(c265='0.5')}\n{line(c52='12978')}\n",
            "line 2, column 52: 12978 is none of the 12978 values",
        ),
        (f"{line(c251='-1')}\n", "line 1, column 251: -1 is none"),
        (f"{line(c151='0.5')}\n", "line 1, column 151: 0.5 is none of the 2"),
        (f"{line(c265='nan')}\n", "line 1: the price is nan"),
        (f"{line(c3='inf')}\n", "line 1, column 3: inf is none"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, content, sentence):
    file = tmp_path / "clicks.txt"
    file.write_text(content)
    with pytest.raises(InputError, match=sentence):
        list(blocks(file, 4))


def _movielens(folder, ratings="1\t1\t5\t10\n1\t2\t3\t11\n", item=None, user="1|24|M|writer|85711\n"):
    folder = folder / "ml-100k"
    folder.mkdir()
    genres = "|".join(["0"] * 18 + ["1"])
    (folder / "u.data").write_text(ratings)
    (folder / "u.item").write_text(
        item or f"1|One (1994)|d||u|{genres}\n2|Two|d||u|{genres}\n", encoding="latin-1"
    )
    (folder / "u.user").write_text(user)
    return folder.parent


def test_movielens_files_are_read_by_time(tmp_path):
    found = movielens.load(_movielens(tmp_path, "1\t2\t3\t11\n1\t1\t5\t10\n"))
    assert found.movie.tolist() == [1, 2] and found.rating.tolist() == [5, 3]
    assert found.year.tolist() == [1995, 1994, 1995] and found.people.tolist() == [[0, 0, 0], [1, 1, 0]]
    assert found.title == ["", "One (1994)", "Two"] and found.genres.sum() == 2


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"ratings": "1\t1\t5\n"}, r"u\.data, line 1: 4 fields"),
        ({"ratings": "1\t1\tfive\t3\n"}, "line 1: 'five' is no whole number"),
        ({"ratings": "2\t1\t5\t3\n"}, "names users or movies that are not there"),
        ({"ratings": "1\t1\t6\t3\n"}, "ratings above 5"),
        ({"user": "2|24|M|writer|85711\n"}, "users must be numbered from 1"),
        ({"user": ""}, "is empty"),
    ],
)
def test_wrong_movielens_files_are_named(tmp_path, changed, sentence):
    with pytest.raises(InputError, match=sentence):
        movielens.load(_movielens(tmp_path, **changed))


def test_movielens_that_is_absent_says_where_it_belongs(tmp_path):
    with pytest.raises(InputError, match=r"put u\.data, u\.item and u\.user"):
        movielens.load(tmp_path)
