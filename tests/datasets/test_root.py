from pathlib import Path

import pytest

from fuxian.datasets import find_root, root
from fuxian.errors import InputError


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository at <tmp>/repository, running from it, with no FUXIAN_DATA."""
    monkeypatch.delenv("FUXIAN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = tmp_path / "repository" / "src"
    source.mkdir(parents=True)
    (source.parent / "pyproject.toml").touch()
    monkeypatch.setattr(root, "_SOURCE", source)
    return source.parent


def test_variable_comes_first(checkout, tmp_path, monkeypatch):
    (tmp_path / "shared" / "data").mkdir(parents=True)
    monkeypatch.setenv("FUXIAN_DATA", str(tmp_path / "mine"))
    assert find_root() == tmp_path / "mine"


def test_variable_may_be_relative_or_start_with_home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FUXIAN_DATA", "data")
    assert find_root() == tmp_path / "data"
    monkeypatch.setenv("FUXIAN_DATA", "~/data")
    assert find_root() == tmp_path / "data"


def test_variable_that_names_a_file_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FUXIAN_DATA", str(tmp_path / "file"))
    with pytest.raises(InputError, match="FUXIAN_DATA"):
        find_root()


def test_checkout_uses_the_shared_folder_beside_it(checkout, tmp_path):
    assert find_root() == tmp_path / "cache" / "fuxian" / "data"
    (tmp_path / "shared" / "data").mkdir(parents=True)
    assert find_root() == tmp_path / "shared" / "data"


def test_empty_variable_counts_as_unset(checkout, tmp_path, monkeypatch):
    monkeypatch.setenv("FUXIAN_DATA", "")
    assert find_root() == tmp_path / "cache" / "fuxian" / "data"


@pytest.mark.parametrize("installed", ["site-packages", "src"])
def test_installed_package_uses_the_cache_folder(checkout, tmp_path, monkeypatch, installed):
    source = tmp_path / "environment" / installed
    source.mkdir(parents=True)
    (tmp_path / "shared" / "data").mkdir(parents=True)
    monkeypatch.setattr(root, "_SOURCE", source)
    assert find_root() == tmp_path / "cache" / "fuxian" / "data"


def test_source_is_where_the_package_lies():
    assert Path(root.__file__).is_relative_to(root._SOURCE / "fuxian")
