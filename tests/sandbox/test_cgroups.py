"""Choosing and filling control groups, on copies of what the kernel shows; the real thing is tested by
`test_runner` and tests/security wherever the machine has it."""

from pathlib import Path

import pytest

from fuxian.errors import PlatformError
from fuxian.sandbox import cgroups
from fuxian.sandbox.limits import MIB, Limits

LIMITS = Limits(memory=256 * MIB, pids=64, cpus=1.5)


class Kernel:
    """A folder that looks like the cgroup file systems and /proc/self of one machine."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "cgroup"
        self.proc = folder / "proc"
        self.proc.mkdir()
        self.mountinfo = ""
        self.own = ""

    def version_2(self, *, own: str, enabled: dict[str, str]) -> None:
        """`enabled`: for each group, the controllers of the groups below it."""
        self.mountinfo += f"38 31 0:37 / {self.root} rw - cgroup2 cgroup2 rw\n"
        self.own += f"0::{own}\n"
        for group, controllers in enabled.items():
            folder = self.root / group.strip("/")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "cgroup.procs").write_text("")
            (folder / "cgroup.controllers").write_text(controllers)
            (folder / "cgroup.subtree_control").write_text(controllers)

    def version_1(self, *, own: str, controllers: tuple[str, ...], mounted_root: str = "/") -> None:
        for number, controller in enumerate(controllers):
            point = self.root / controller
            self.mountinfo += (
                f"{number} 31 0:{number} {mounted_root} {point} rw - cgroup cgroup rw,{controller}\n"
            )
            self.own += f"{number}:{controller}:{own}\n"
            below = own.removeprefix(mounted_root.rstrip("/")).strip("/")
            (point / below).mkdir(parents=True)

    def find(self) -> cgroups.Hierarchy:
        (self.proc / "mountinfo").write_text("24 1 0:5 / /proc rw - proc proc rw\n" + self.mountinfo)
        (self.proc / "cgroup").write_text(self.own)
        return cgroups.find(self.proc)


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


def test_version_2_below_the_own_group(kernel: Kernel) -> None:
    kernel.version_2(own="/worker", enabled={"/": "cpu memory pids", "/worker": "cpu memory pids"})
    found = kernel.find()
    assert found == cgroups.Hierarchy(2, dict.fromkeys(("memory", "pids", "cpu"), kernel.root / "worker"))


def test_version_2_beside_the_own_group_where_that_has_processes(kernel: Kernel) -> None:
    kernel.version_2(
        own="/app.slice/run.scope", enabled={"/app.slice": "memory pids", "/app.slice/run.scope": ""}
    )
    found = kernel.find()
    assert found == cgroups.Hierarchy(2, dict.fromkeys(("memory", "pids"), kernel.root / "app.slice"))


def test_version_2_without_controllers_is_not_used(kernel: Kernel) -> None:
    kernel.version_2(own="/", enabled={"/": "hugetlb"})
    assert kernel.find().parents == {}


def test_version_1_where_version_2_has_no_controllers(kernel: Kernel) -> None:
    kernel.version_1(own="/job", controllers=("memory", "pids", "cpu", "cpuacct"))
    kernel.root = kernel.root / "unified"
    kernel.version_2(own="/", enabled={"/": "hugetlb"})
    found = kernel.find()
    assert found.version == 1
    assert found.parents["memory"] == kernel.root.parent / "memory/job"
    assert set(found.parents) == {"memory", "pids", "cpu", "cpuacct"}


def test_version_1_in_a_container(kernel: Kernel) -> None:
    kernel.version_1(own="/docker/abc", controllers=("memory",), mounted_root="/docker/abc")
    assert kernel.find().parents == {"memory": kernel.root / "memory"}


def test_no_groups_at_all(kernel: Kernel) -> None:
    assert kernel.find().parents == {}


def prepare(folder: Path, *files: str) -> None:
    for name in files:
        (folder / name).write_text("")


def test_limits_in_version_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = record_writes(monkeypatch)
    hierarchy = cgroups.Hierarchy(2, dict.fromkeys(("memory", "pids", "cpu"), tmp_path))
    with cgroups.group(LIMITS, hierarchy) as group:
        assert group.folders["memory"].parent == tmp_path
    assert written == {
        "memory.max": str(256 * MIB),
        "memory.oom.group": "1",
        "pids.max": "64",
        "cpu.max": "150000 100000",
    }


def test_limits_in_version_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = record_writes(monkeypatch)
    with cgroups.group(LIMITS, cgroups.Hierarchy(1, dict.fromkeys(("memory", "pids", "cpu"), tmp_path))):
        pass
    assert written == {
        "memory.limit_in_bytes": str(256 * MIB),
        "pids.max": "64",
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_quota_us": "150000",
    }


def record_writes(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    # In a real control group these files are there from the start and do not keep it from being removed.
    written: dict[str, str] = {}
    monkeypatch.setattr(Path, "write_text", lambda path, text: written.__setitem__(path.name, text))
    return written


def test_a_limit_that_the_kernel_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, text: str) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(Path, "write_text", refuse)
    with (
        pytest.raises(PlatformError, match=r"refused the limit .* Invalid argument"),
        cgroups.group(LIMITS, cgroups.Hierarchy(2, {"pids": tmp_path})),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_groups_of_dead_callers_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    abandoned, living = tmp_path / "fuxian-999999999-ab", tmp_path / "fuxian-1-ab"
    abandoned.mkdir()
    living.mkdir()
    record_writes(monkeypatch)
    with cgroups.group(LIMITS, cgroups.Hierarchy(2, {"pids": tmp_path})):
        pass
    assert list(tmp_path.iterdir()) == [living]


def test_figures_in_version_2(tmp_path: Path) -> None:
    (tmp_path / "memory.peak").write_text("1048576\n")
    (tmp_path / "memory.events").write_text("low 0\nhigh 0\nmax 9\noom 2\noom_kill 3\noom_group_kill 1\n")
    (tmp_path / "pids.events").write_text("max 7\n")
    (tmp_path / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\nsystem_usec 1\n")
    group = cgroups.Group(2, dict.fromkeys(cgroups.CONTROLLERS, tmp_path))
    assert (group.peak_memory(), group.oom_kills(), group.pids_refused()) == (1048576, 3, 7)
    assert group.cpu_seconds() == 2.5


def test_figures_in_version_1(tmp_path: Path) -> None:
    (tmp_path / "memory.max_usage_in_bytes").write_text("1048576\n")
    (tmp_path / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    (tmp_path / "pids.events").write_text("max 7\n")
    (tmp_path / "cpuacct.usage").write_text("2500000000\n")
    group = cgroups.Group(1, dict.fromkeys((*cgroups.CONTROLLERS, "cpuacct"), tmp_path))
    assert (group.peak_memory(), group.oom_kills(), group.pids_refused()) == (1048576, 3, 7)
    assert group.cpu_seconds() == 2.5


def test_no_figures_without_a_group() -> None:
    group = cgroups.Group(2, {})
    assert (group.peak_memory(), group.oom_kills(), group.pids_refused()) == (None, 0, 0)
    assert group.cpu_seconds() is None
