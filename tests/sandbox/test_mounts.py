import sys
from pathlib import Path

import pytest

from fuxian.errors import InputError
from fuxian.sandbox.mounts import ReadOnly, Scratch, check, python_runtime


@pytest.mark.parametrize(
    ("mounts", "message"),
    [
        ([Scratch("work")], "plain absolute path"),
        ([Scratch("/work/../etc")], "plain absolute path"),
        ([Scratch("/work/")], "plain absolute path"),
        ([Scratch("/")], "whole file system"),
        ([Scratch("/etc")], "system folder"),
        ([Scratch("/proc/x")], "system folder"),
        ([ReadOnly(Path("/tmp"), "/usr/lib")], "system folder"),  # noqa: S108
        ([Scratch("/a"), Scratch("/a")], "share the target"),
        ([ReadOnly(Path("/does/not/exist"), "/a")], "does not exist"),
        ([Scratch("/a", source=Path(__file__))], "only copy a folder"),
        ([Scratch("/a", size=0)], "above zero"),
        ([ReadOnly(Path(__file__).parent, "/a"), Scratch("/a/out")], "lies inside"),
        ([Scratch("/a"), Scratch("/a/b/c")], "lies inside"),
    ],
)
def test_senseless_mounts(mounts: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check(mounts)


def test_sensible_mounts(tmp_path: Path) -> None:
    check([ReadOnly(tmp_path), ReadOnly(tmp_path, "/data"), Scratch("/work"), Scratch("/tmp")])  # noqa: S108
    check([Scratch("/work"), ReadOnly(tmp_path, "/work/data")])


def test_runtime_of_this_interpreter() -> None:
    folders = [str(mount.source) for mount in python_runtime(sys.executable)]
    needed = [sys.prefix, f"{sys.base_prefix}/lib", f"{sys.base_prefix}/bin"]
    for folder in needed:
        assert folder.startswith("/usr") or any(Path(folder).is_relative_to(one) for one in folders)
    assert all(mount.target == str(mount.source) for mount in python_runtime(sys.executable))


def test_runtime_of_a_python_in_a_home_shows_only_python(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for folder in ("bin", "lib/python3.11", ".ssh"):
        (home / folder).mkdir(parents=True)
    (home / "bin/python3").write_text("")
    assert [mount.source for mount in python_runtime(home / "bin/python3")] == [home / "bin", home / "lib"]


def test_no_runtime_without_python(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no Python interpreter"):
        python_runtime(tmp_path / "python3")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").write_text("")
    with pytest.raises(InputError, match="does not look like"):
        python_runtime(tmp_path / "bin/python3")
