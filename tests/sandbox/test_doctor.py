from pathlib import Path

import pytest

from fuxian.errors import PlatformError
from fuxian.sandbox import cgroups, doctor, launch


def test_every_row_that_is_not_well_says_what_to_do() -> None:
    rows = doctor.examine()
    assert {"bwrap", "user namespaces", "memory limit", "a run in the sandbox"} <= {row.name for row in rows}
    assert all(row.found for row in rows)
    assert all(row.ok != bool(row.mend) for row in rows)


def test_without_bubblewrap(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PlatformError(f"{name} is not installed.")

    monkeypatch.setattr(launch, "tool", missing)
    rows = {row.name: row for row in doctor.examine()}
    assert not rows["bwrap"].ok and rows["bwrap"].needed and "bubblewrap" in rows["bwrap"].mend
    assert not rows["a run in the sandbox"].ok


def sysctl(folder: Path, **values: str) -> Path:
    for name, value in values.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value + "\n")
    return folder


def test_user_namespaces(tmp_path: Path) -> None:
    assert doctor._user_namespaces(sysctl(tmp_path / "a", user__max_user_namespaces="100")).ok
    none = doctor._user_namespaces(sysctl(tmp_path / "b", user__max_user_namespaces="0"))
    assert not none.ok and "sysctl -w user.max_user_namespaces" in none.mend
    debian = doctor._user_namespaces(sysctl(tmp_path / "c", kernel__unprivileged_userns_clone="0"))
    assert not debian.ok and "unprivileged_userns_clone=1" in debian.mend


def test_ubuntu_needs_a_profile(tmp_path: Path) -> None:
    ubuntu = sysctl(tmp_path / "sys", kernel__apparmor_restrict_unprivileged_userns="1")
    profiles = tmp_path / "apparmor.d"
    profiles.mkdir()
    row = doctor._apparmor(ubuntu, profiles)
    assert not row.ok and "userns," in row.mend
    (profiles / "bwrap-userns-restrict").write_text("")
    assert doctor._apparmor(ubuntu, profiles).ok
    assert doctor._apparmor(tmp_path / "other", profiles).ok


def test_groups(tmp_path: Path) -> None:
    rows = {row.name: row for row in doctor._groups(cgroups.Hierarchy(2, {"memory": tmp_path}))}
    assert rows["memory limit"].ok and rows["memory limit"].found == "cgroup v2"
    assert (
        not rows["pids limit"].ok and not rows["pids limit"].needed and "Delegate" in rows["pids limit"].mend
    )
