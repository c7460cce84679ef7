"""Hostile programs against the sandbox. Each is one script in `hostile/`; each must be contained, end with
its reason code, leave the host as it was and the next run undisturbed.

A script prints ESCAPED where something that must fail succeeds, and END OF ATTACK when it got through its
whole list, so that an attack which never took place cannot pass for one that was held off.
"""

import os
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from fuxian.errors import PlatformError
from fuxian.sandbox import MIB, Limits, Outcome, ReadOnly, SaveLimits, Scratch, python_runtime, readable, run

HOSTILE = Path(__file__).parent / "hostile"
LIMITS = Limits(wall=20.0, cpus=1.0, memory=192 * MIB, pids=48, entries=3000, output=4 * MIB, kept=65536)
SHORT = replace(LIMITS, wall=1.5, cpus=0.5)
SECRET = f"HUNTER{secrets.token_hex(8)}"


def _sandbox_works() -> str | None:
    try:
        run(["/bin/true"], limits=LIMITS)
    except PlatformError as error:
        return str(error)
    return None


BROKEN = _sandbox_works()
pytestmark = pytest.mark.skipif(BROKEN is not None, reason=f"no sandbox here: {BROKEN}")


@dataclass(frozen=True)
class Attack:
    """The scene of one attack, for what is checked after it."""

    outcome: Outcome
    saved: Path
    host: Path


Check = Callable[[Attack], None]


@dataclass(frozen=True)
class Case:
    script: str
    reason: str = "ok"
    check: Check | None = None
    limits: Limits = LIMITS
    arguments: Callable[["Host"], list[str]] = field(default=lambda host: [])
    without_cgroup: str | None = None
    """The reason where no cgroup holds the memory, if it is another."""


@dataclass(frozen=True)
class Host:
    """What the host has that an attack must not reach."""

    folder: Path
    secret: Path
    port: int
    local: str
    local_path: Path
    pid: int


def only_good_is_saved(attack: Attack) -> None:
    assert sorted(path.name for path in attack.saved.rglob("*") if path.is_file()) == ["good"]
    assert attack.outcome.saved[0].refusals > 0


def refused_because(*words: str) -> Check:
    def check(attack: Attack) -> None:
        only_good_is_saved(attack)
        why = " ".join(reason for _, reason in attack.outcome.saved[0].refused)
        assert all(word in why for word in words), why

    return check


def cpu_was_held(attack: Attack) -> None:
    assert attack.outcome.wall < LIMITS.wall
    assert attack.outcome.cpu < 2.0


def ended_by(signal: int) -> Check:
    def check(attack: Attack) -> None:
        assert attack.outcome.signal == signal

    return check


def memory_was_held(attack: Attack) -> None:
    # Where a watchdog holds it, it looks 20 times a second, and a little more gets through.
    assert attack.outcome.peak_memory <= LIMITS.memory * 1.5


def output_was_held(attack: Attack) -> None:
    outcome = attack.outcome
    assert len(outcome.stdout) < LIMITS.kept + 100 and len(outcome.stderr) < LIMITS.kept + 100
    assert outcome.stdout_left_out + outcome.stderr_left_out > LIMITS.output - LIMITS.kept


def saved_within_limits(attack: Attack) -> None:
    (saved,) = attack.outcome.saved
    files = [path for path in attack.saved.rglob("*") if path.is_file()]
    assert saved.refusals > 0
    assert len(files) == len(saved.files) <= SAVE.entries
    assert sum(path.stat().st_size for path in files) == saved.size <= SAVE.size


def output_is_harmless(attack: Attack) -> None:
    text = readable(attack.outcome.stdout + attack.outcome.stderr)
    assert not set(text) & set("\x1b\x07\x08\x00\x7f\x9b\r\u202e\u2066\u2069\u200b")
    assert "owned" not in text and "red" in text and "accepted" in text


def exit_code_is_not_the_sandboxs(attack: Attack) -> None:
    assert attack.outcome.exit_code == 125
    assert attack.outcome.stdout.startswith(b"ready\nstart\n")


def odd_names_stay_behind(attack: Attack) -> None:
    names = {path.name for path in attack.saved.iterdir()}
    assert "good" in names
    assert all(name.isprintable() and len(name) < 200 for name in names)
    why = {reason for _, reason in attack.outcome.saved[0].refused}
    assert why >= {"a name that is not UTF-8", "a name with control characters"}
    assert all(path.isascii() and path.isprintable() for path, _ in attack.outcome.saved[0].refused)


def saved_as_plain_files(attack: Attack) -> None:
    for path in attack.saved.rglob("*"):
        assert os.access(path, os.R_OK)
        assert path.stat().st_uid == os.geteuid() and path.stat().st_mode & 0o7000 == 0


def next_python_is_clean(attack: Attack) -> None:
    program = "import sys; print(sorted({'usercustomize', 'sitecustomize'} & set(sys.modules)))"
    outcome = run([sys.executable, "-c", program], mounts=python_runtime(sys.executable), limits=LIMITS)
    assert (outcome.reason, outcome.stdout) == ("ok", b"[]\n"), outcome


SAVE = SaveLimits(size=8 * MIB, entries=500, path=200, depth=16)

CASES = [
    # uses too much
    Case("fork_bomb", "pids"),
    Case("thread_bomb", "pids"),
    Case("memory_bomb", "oom", memory_was_held),
    Case("memory_bomb_in_children", "oom", memory_was_held),
    Case("memory_bomb_hidden", "oom", memory_was_held, without_cgroup="ok"),
    Case("memory_bomb_shared", "oom", memory_was_held),
    Case("memory_bomb_memfd", "oom", memory_was_held, without_cgroup="crash"),
    Case("disk_fill", "disk"),
    Case("disk_fill_shm", "disk"),
    Case("disk_fill_elsewhere"),
    Case("many_files", "disk"),
    Case("many_folders", "disk"),
    Case("log_flood", "output", output_was_held),
    Case("log_flood_errors", "output", output_was_held),
    Case("endless_loop", "timeout", limits=SHORT),
    Case("cpu_hog", "timeout", cpu_was_held, replace(LIMITS, cpu_time=0.5)),
    Case("sleeper", "timeout", limits=SHORT),
    # does not end, or seems to
    Case("ignores_signals", "timeout", limits=SHORT),
    Case("stops_itself", "timeout", limits=SHORT),
    Case("closes_output", "timeout", limits=SHORT),
    Case("daemon"),
    Case("daemon_then_loop", "timeout", limits=SHORT),
    Case("kills_everything", arguments=lambda host: [str(host.pid)]),
    # leaves traps as results
    Case("sparse_file", check=refused_because("bytes in all")),
    Case("hard_links", check=saved_within_limits),
    Case("many_results", check=saved_within_limits),
    Case("links_to_host_files", check=refused_because("symbolic"), arguments=lambda host: [str(host.secret)]),
    Case("special_files", check=refused_because("named pipe", "socket")),
    Case("odd_names", check=odd_names_stay_behind),
    Case("deep_folders", check=refused_because("deep")),
    Case("long_paths", check=refused_because("path")),
    Case("locked_results", check=saved_as_plain_files),
    # the network
    Case("network_connect", arguments=lambda host: [str(host.port)]),
    Case("network_download", "network"),
    Case("network_families"),
    Case("network_raw"),
    Case("unix_sockets", arguments=lambda host: [host.local, str(host.local_path)]),
    # the host's files
    Case("reads_host_files", arguments=lambda host: [str(host.secret), str(host.folder)]),
    Case("overwrites_system"),
    Case("sitecustomize", check=next_python_is_clean),
    Case("proc_writes"),
    Case("proc_reads"),
    Case("sys_writes"),
    Case("mounts"),
    Case("name_spaces"),
    Case("devices"),
    # more power
    Case("privileges"),
    Case("ptrace"),
    Case("first_process"),
    Case("rare_calls"),
    Case("clock"),
    Case("terminal_input"),
    Case("descriptors"),
    Case("environment", arguments=lambda host: [str(host.folder.parent / "data")[::-1]]),
    Case("foreign_calls", "crash", ended_by(31)),
    Case("foreign_calls_32", "crash", ended_by(31)),
    Case("limits_up"),
    Case("core_dump", "crash", ended_by(6)),
    # lies
    Case("escapes_in_output", check=output_is_harmless),
    Case("forged_protocol", "crash", exit_code_is_not_the_sandboxs),
    Case("exit_as_if_killed", "crash"),
]
# These end well without a list of attempts to get through.
NO_LIST = {
    "sparse_file",
    "hard_links",
    "many_results",
    "links_to_host_files",
    "odd_names",
    "deep_folders",
    "long_paths",
    "locked_results",
    "escapes_in_output",
}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FUXIAN_TEST_TOKEN", SECRET)
    secret = tmp_path / "host" / "labels"
    secret.parent.mkdir(mode=0o755)
    secret.write_text(SECRET)
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        local = stack.enter_context(socket.socket(socket.AF_UNIX))
        name = f"fuxian-{secrets.token_hex(8)}"
        local.bind("\0" + name)
        local.listen()
        # pytest's folders are too deep for the path of a socket.
        local_path = Path(stack.enter_context(TemporaryDirectory(prefix="fuxian-test-"))) / "socket"
        named = stack.enter_context(socket.socket(socket.AF_UNIX))
        named.bind(str(local_path))
        named.listen()
        local_path.chmod(0o777)
        yield Host(secret.parent, secret, listening.getsockname()[1], name, local_path, os.getpid())


def attack(case: Case, host: Host, tmp_path: Path) -> tuple[Attack, str]:
    token = secrets.token_hex(8)
    data = tmp_path / "data"
    data.mkdir()
    (data / "labels").write_text("public")
    saved = tmp_path / "saved"
    mounts = [
        *python_runtime(sys.executable),
        ReadOnly(HOSTILE, "/hostile"),
        ReadOnly(data, "/data"),
        Scratch("/out", 16 * MIB, save_to=saved, save=SAVE),
    ]
    command = [sys.executable, "-B", f"/hostile/{case.script}.py", token, *case.arguments(host)]
    outcome = run(command, mounts=mounts, limits=case.limits)
    return Attack(outcome, saved, host.folder), token


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.script)
def test_contained(case: Case, host: Host, tmp_path: Path) -> None:
    before = host_state(host)

    scene, token = attack(case, host, tmp_path)

    outcome = scene.outcome
    said = outcome.stdout.decode(errors="replace") + outcome.stderr.decode(errors="replace")
    assert outcome.sandboxed
    assert "ESCAPED" not in said, said
    reason = case.reason
    if case.without_cgroup and "cgroup" not in outcome.mechanisms["memory"]:
        reason = case.without_cgroup
    assert outcome.reason == reason, (outcome.reason, outcome.exit_code, said[-2000:])
    assert SECRET not in said
    if case.reason == "ok" and case.script not in NO_LIST:
        assert said.rstrip().endswith("END OF ATTACK"), said[-2000:]
    if case.check:
        case.check(scene)
    assert processes_with(token) == []
    assert host_state(host) == before
    assert_undisturbed()


def test_every_script_is_a_case() -> None:
    scripts = {path.stem for path in HOSTILE.glob("*.py")} - {"attempt"}
    assert scripts == {case.script for case in CASES}
    assert len(CASES) >= 40


def processes_with(token: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if token.encode() in path.read_bytes():
                found.append(str(path))
        except OSError:
            continue
    return found


def host_state(host: Host) -> dict[str, object]:
    state: dict[str, object] = {
        "secret": host.secret.read_text(),
        "host name": socket.gethostname(),
        "clock is close": abs(time.time() - time.monotonic() - _CLOCK) < 5,
        "bwrap": _stamp(Path(shutil.which("bwrap") or "/")),
        "python": _stamp(Path(sys.executable).resolve()),
        "scripts": sorted((path.name, _stamp(path)) for path in HOSTILE.glob("*.py")),
        "planted": [
            path.name for path in Path(pytest.__file__).parent.parent.iterdir() if path.stem in PLANTED
        ],
        "left in /run": sorted(path.name for path in Path("/run").glob(f"fuxian-{os.getpid()}-*")),
        "groups": sorted(map(str, Path("/sys/fs/cgroup").glob(f"**/fuxian-{os.getpid()}-*"))),
        "mounts": [one for one in Path("/proc/self/mountinfo").read_text().splitlines() if "fuxian-" in one],
    }
    for name in ("core_pattern", "randomize_va_space"):
        state[name] = Path("/proc/sys/kernel", name).read_text()
    return state


_CLOCK = time.time() - time.monotonic()
PLANTED = ("evil", "sitecustomize", "usercustomize")


def _stamp(path: Path) -> tuple[int, int]:
    return path.stat().st_mtime_ns, path.stat().st_size


def assert_undisturbed() -> None:
    """The next run, of an honest program, works and finds nothing of the one before."""
    outcome = run(["ls", "-A", "/tmp", "/dev/shm"], limits=LIMITS)  # noqa: S108
    assert (outcome.reason, outcome.stdout) == ("ok", b"/dev/shm:\n\n/tmp:\n"), outcome
