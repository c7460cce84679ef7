import os
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuxian.errors import InputError
from fuxian.sandbox.collect import Saved, SaveLimits, empty_folder, save


def saved(source: Path, destination: Path, **limits: int) -> Saved:
    empty_folder(destination)
    folder = os.open(source, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return save(folder, destination, "/out", SaveLimits(**limits))
    finally:
        os.close(folder)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def test_files_and_folders_come_out_as_they_are(source: Path, tmp_path: Path) -> None:
    (source / "a/b").mkdir(parents=True)
    (source / "a/b/weights").write_bytes(bytes(range(256)) * 9000)
    (source / "复现.json").write_text("{}")
    (source / "empty").mkdir()

    result = saved(source, tmp_path / "out")

    assert result.files == ("a/b/weights", "复现.json")
    assert result.size == 256 * 9000 + 2
    assert (result.refused, result.refusals) == ((), 0)
    assert (tmp_path / "out/a/b/weights").read_bytes() == (source / "a/b/weights").read_bytes()
    assert (tmp_path / "out/empty").is_dir()


def test_what_is_no_file_stays_behind(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source / "link").symlink_to("/etc/passwd")
    (source / "folder").symlink_to("/etc")
    os.mkfifo(source / "pipe")
    with socket.socket(socket.AF_UNIX) as line:
        monkeypatch.chdir(source)  # the path of a socket must be short
        line.bind("socket")
    (source / "good").write_text("good")

    result = saved(source, tmp_path / "out")

    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good"]
    assert dict(result.refused) == {
        "folder": "a symbolic link",
        "link": "a symbolic link",
        "pipe": "a named pipe",
        "socket": "a socket",
    }


def test_modes_do_not_come_out(source: Path, tmp_path: Path) -> None:
    (source / "program").write_text("x")
    (source / "program").chmod(0o6777)
    saved(source, tmp_path / "out")
    assert (tmp_path / "out/program").stat().st_mode & 0o7111 == 0


def test_size_counts_holes(source: Path, tmp_path: Path) -> None:
    with (source / "big").open("wb") as file:
        file.truncate(1 << 40)
    (source / "small").write_text("small")
    result = saved(source, tmp_path / "out", size=1000)
    assert result.files == ("small",)
    assert result.refused == (("big", "more than 1000 bytes in all"),)


def test_entries_and_depth(source: Path, tmp_path: Path) -> None:
    for number in range(20):
        (source / f"{number:02}").write_text("")
    result = saved(source, tmp_path / "few", entries=5)
    assert len(result.files) == 5
    assert result.refusals == 1

    (source / "a/b/c").mkdir(parents=True)
    (source / "a/b/c/deep").write_text("")
    result = saved(source, tmp_path / "shallow", depth=2)
    assert "a/b/c" not in {
        path.relative_to(tmp_path / "shallow").as_posix() for path in (tmp_path / "shallow").rglob("*")
    }
    assert ("a/b", "more than 2 folders deep") in result.refused


NAMES = st.binary(min_size=1, max_size=40).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)


@settings(max_examples=60, deadline=None)
@given(st.sets(NAMES, max_size=8))
def test_any_name_comes_out_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, names: set[bytes]
) -> None:
    source = tmp_path_factory.mktemp("source")
    destination = tmp_path_factory.mktemp("out")
    for name in names:
        os.close(os.open(os.fsencode(source) + b"/" + name, os.O_CREAT | os.O_WRONLY))

    result = saved(source, destination)

    assert len(result.files) + result.refusals == len(names)
    assert sorted(path.name for path in destination.iterdir()) == sorted(result.files)
    for name in result.files:
        assert os.fsencode(name) in names and name.isprintable()
    assert all(path.isascii() and path.isprintable() for path, _ in result.refused)


def test_results_go_to_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "something").write_text("")
    with pytest.raises(InputError, match="is not empty"):
        empty_folder(tmp_path)
