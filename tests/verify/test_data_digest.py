"""A data set's hash is that of its tree, and is not computed twice."""

import os

import pytest

from fuxian.verify import data_digest as module
from fuxian.verify.data_digest import data_digest
from fuxian.verify.source import digest_of_files, file_digest, regular_files


def read_again(folder):
    return digest_of_files(
        {file.relative_to(folder).as_posix(): file_digest(file) for file in regular_files(folder)}
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "cache_folder", lambda: tmp_path / "cache")
    (tmp_path / "data/inner").mkdir(parents=True)
    (tmp_path / "data/inner/a").write_text("1")
    (tmp_path / "data/inner.txt").write_text("2")
    return tmp_path / "data"


def test_it_is_the_trees_and_a_known_file_is_not_read_again(folder, monkeypatch):
    first = data_digest(folder)
    assert first == read_again(folder)
    monkeypatch.setattr(module, "file_digest", None)
    assert data_digest(folder) == first


def test_a_changed_added_or_removed_file_changes_it(folder):
    seen = {data_digest(folder)}
    file = folder / "inner/a"
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns
    file.write_text("3")
    os.utime(file, ns=times)  # a change that its size and time of change hide
    for change in (
        lambda: None,
        lambda: (folder / "b").write_text("4"),
        (folder / "inner.txt").unlink,
    ):
        change()
        assert data_digest(folder) == read_again(folder)
        seen.add(data_digest(folder))
    assert len(seen) == 4


def test_a_damaged_cache_counts_for_nothing(folder, tmp_path):
    data_digest(folder)
    (kept,) = (tmp_path / "cache/digests").iterdir()
    for damage in ("", "[]", '{"inner/a": 1}', '{"inner/a": {"stamp": []}}'):
        kept.write_text(damage)
        assert data_digest(folder) == read_again(folder)
