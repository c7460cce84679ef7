"""The sandbox as its callers use it. Hostile programs are in tests/security."""

import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fuxian.errors import InputError, PlatformError
from fuxian.sandbox import MIB, Limits, ReadOnly, Scratch, cgroups, launch, run

LIMITS = Limits(wall=20.0, memory=192 * MIB, pids=48)


def _broken() -> str | None:
    try:
        run(["true"], limits=LIMITS)
    except PlatformError as error:
        return str(error)
    return None


BROKEN = _broken()
sandboxed = pytest.mark.skipif(BROKEN is not None, reason=f"no sandbox here: {BROKEN}")


@pytest.fixture(params=["groups", "no groups"])
def groups(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test twice: with the control groups of this machine, and without any."""
    if request.param == "no groups":
        monkeypatch.setattr(cgroups, "find", lambda: cgroups.Hierarchy(2))
    return request.param


@sandboxed
def test_what_comes_of_a_run(groups: str) -> None:
    outcome = run(["sh", "-c", "echo out; echo err >&2; exit 3"], limits=LIMITS)
    assert (outcome.reason, outcome.exit_code, outcome.signal) == ("crash", 3, None)
    assert (outcome.stdout, outcome.stderr) == (b"out\n", b"err\n")
    assert outcome.sandboxed
    assert 0 < outcome.wall < 20 and 0 < outcome.cpu < 10 and outcome.peak_memory > 0
    expected = ("cgroup" in outcome.mechanisms["memory"]) == ("memory" in cgroups.find().parents)
    assert expected, outcome.mechanisms


@sandboxed
def test_signal() -> None:
    outcome = run(["sh", "-c", "kill -SEGV $$"], limits=LIMITS)
    assert (outcome.reason, outcome.exit_code, outcome.signal) == ("crash", None, signal.SIGSEGV)


@sandboxed
def test_command_not_found() -> None:
    outcome = run(["no-such-program"], limits=LIMITS)
    assert (outcome.reason, outcome.exit_code) == ("crash", 127)
    assert b"no-such-program" in outcome.stderr


@sandboxed
def test_arguments_are_not_read_by_a_shell() -> None:
    words = ["$HOME", "; echo no", "`id`", "--", "a b", "", "复现", "*"]
    outcome = run(["printf", "[%s]", *words], limits=LIMITS)
    assert outcome.stdout.decode() == "".join(f"[{word}]" for word in words)


@sandboxed
def test_environment_and_folder() -> None:
    outcome = run(
        ["sh", "-c", 'echo "$A|$SECRET|$HOME|$(pwd)"'], env={"A": "x=$y"}, cwd="/usr", limits=LIMITS
    )
    assert outcome.stdout == b"x=$y||/tmp|/usr\n"


@sandboxed
def test_mounts(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "inner").mkdir(parents=True)
    (data / "inner/a").write_text("read me")
    (data / "inner/link").symlink_to("a")
    script = (
        "cat /data/inner/a; cat /work/inner/link; echo new > /work/inner/a; cat /work/inner/a; echo > /data/b"
    )
    outcome = run(
        ["sh", "-c", script],
        mounts=[
            ReadOnly(data, "/data"),
            ReadOnly(data / "inner/a", "/one/file"),
            Scratch("/work", source=data, save_to=tmp_path / "out"),
        ],
        limits=LIMITS,
        cwd="/work",
    )
    assert outcome.stdout == b"read meread menew\n"
    assert b"Read-only file system" in outcome.stderr
    (saved,) = outcome.saved
    assert saved.files == ("inner/a",) and saved.refused == (("inner/link", "a symbolic link"),)
    assert (tmp_path / "out/inner/a").read_text() == "new\n"
    assert (data / "inner/a").read_text() == "read me"


@sandboxed
def test_copy_that_does_not_fit(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "big").write_bytes(b"x" * (4 * MIB))
    outcome = run(["echo", "started"], mounts=[Scratch("/work", MIB, source=source)], limits=LIMITS)
    assert (outcome.reason, outcome.stdout) == ("disk", b"")


@sandboxed
@pytest.mark.skipif(os.geteuid() != 0, reason="one's own folder is always readable")
def test_a_source_that_the_user_of_the_sandbox_may_not_read(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir(mode=0o700)
    (tmp_path / "inner/file").write_text("x")
    with pytest.raises(PlatformError, match=f"may not read all of {tmp_path}"):
        run(["echo", "started"], mounts=[Scratch("/work", MIB, source=tmp_path)], limits=LIMITS)


@sandboxed
def test_source_below_a_private_folder(tmp_path: Path) -> None:
    # As root this is the case of an interpreter below /root, which no other user can enter.
    private = tmp_path / "private"
    (private / "runtime").mkdir(parents=True)
    (private / "runtime/a").write_text("seen")
    (private / "secret").write_text("not to be seen")
    private.chmod(0o700)
    outcome = run(
        ["sh", "-c", f"cat {private}/runtime/a; ls {private}"],
        mounts=[ReadOnly(private / "runtime")],
        limits=LIMITS,
    )
    assert outcome.stdout == b"seenruntime\n"


@sandboxed
def test_user_is_not_root_to_the_kernel() -> None:
    token = str(secrets.randbelow(10**9) + 10**9)
    cancel = threading.Event()
    command = ["sh", "-c", f"id -u; sleep {token}"]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, command, limits=LIMITS, cancel=cancel)
        assert eventually(lambda: f"sleep\0{token}\0" in alive(token).values())
        (pid,) = [pid for pid, words in alive(token).items() if words == f"sleep\0{token}\0"]
        status = Path("/proc", str(pid), "status").read_text()
        cancel.set()
        outcome = running.result()
    assert outcome.stdout == b"1000\n"
    users = {int(user) for user in re.search(r"^Uid:(.*)$", status, re.MULTILINE)[1].split()}
    assert 0 not in users
    if os.geteuid() != 0:
        assert users == {os.geteuid()}


@sandboxed
def test_timeout(groups: str) -> None:
    outcome = run(["sh", "-c", "echo begun; sleep 60"], limits=Limits(wall=0.5))
    assert (outcome.reason, outcome.exit_code, outcome.stdout) == ("timeout", None, b"begun\n")
    assert 0.5 <= outcome.wall < 5


@sandboxed
def test_cancel_from_another_thread(groups: str) -> None:
    token = str(secrets.randbelow(10**9) + 10**9)
    cancel = threading.Event()
    threading.Timer(0.4, cancel.set).start()
    script = f"setsid sleep {token} & trap '' TERM INT; sleep {token}; sleep 1"
    outcome = run(["sh", "-c", script], limits=LIMITS, cancel=cancel)
    assert outcome.reason == "cancelled"
    assert outcome.wall < 10
    assert not alive(token)


# A caller started by nohup or in the background of a shell would ignore what this test sends.
PARENT = """
import signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
from fuxian.sandbox import Limits, run
script = 'setsid sleep "$1" & trap "" TERM INT HUP; while :; do sleep "$1"; done'
run(["sh", "-c", script, "sh", sys.argv[1]], limits=Limits(wall=60.0))
"""


@sandboxed
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
def test_nothing_outlives_the_caller(number: signal.Signals) -> None:
    token = str(secrets.randbelow(10**9) + 10**9)
    with subprocess.Popen([sys.executable, "-c", PARENT, token], stderr=subprocess.PIPE) as caller:
        assert eventually(lambda: f"sleep\0{token}\0" in alive(token).values())
        caller.send_signal(number)
        caller.communicate(timeout=20)
    assert eventually(lambda: not alive(token)), alive(token)
    if number != signal.SIGINT:
        # Nobody was left to tidy up: the next run does.
        run(["true"], limits=LIMITS)
    assert list(Path("/sys/fs/cgroup").glob(f"**/fuxian-{caller.pid}-*")) == []
    assert list(Path("/run").glob(f"fuxian-{caller.pid}-*")) == []


@sandboxed
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can close this gap")
@pytest.mark.parametrize("processes", range(2, 7))
def test_nothing_outlives_a_caller_that_dies_while_setting_up(processes: int) -> None:
    token = str(secrets.randbelow(10**9) + 10**9)
    with subprocess.Popen([sys.executable, "-c", PARENT, token], stderr=subprocess.PIPE) as caller:
        assert eventually(lambda: len(alive(token)) >= processes)
        caller.kill()
    assert eventually(lambda: not alive(token)), alive(token)


@sandboxed
def test_runs_at_the_same_time_do_not_meet() -> None:
    seen: list[bytes] = []

    def one(number: int) -> None:
        script = f"echo {number} > /tmp/n; sleep 0.3; cat /tmp/*; ls /proc | grep -c '^[0-9]'"
        seen.append(run(["sh", "-c", script], limits=LIMITS).stdout)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(line.split()[0] for line in seen) == [b"0", b"1", b"2", b"3"]
    assert all(int(line.split()[1]) <= 6 for line in seen)


@sandboxed
def test_share_of_cpus(groups: str) -> None:
    # Two seconds are many of the scheduler's periods (0.1 s): each may be overdrawn by a part of one.
    busy = "timeout 2 sh -c 'while :; do :; done'"
    outcome = run(["sh", "-c", f"{busy} & {busy} & wait"], limits=Limits(wall=60.0, cpus=1.0))
    assert outcome.reason == "ok"
    assert 0.2 < outcome.cpu <= outcome.wall * 1.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"command": []}, "no command"),
        ({"command": ["a\0b"]}, "NUL"),
        ({"command": ["a"], "env": {"A=B": "x"}}, "name of an environment variable"),
        ({"command": ["a"], "cwd": "work"}, "absolute working folder"),
    ],
)
def test_senseless_runs(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(**arguments)


@sandboxed
def test_sandbox_that_cannot_be_set_up() -> None:
    with pytest.raises(PlatformError, match=r"could not be set up .*/nowhere"):
        run(["true"], cwd="/nowhere", limits=LIMITS)


@pytest.fixture
def no_bubblewrap(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    real = launch.tool

    def tool(name: str) -> str:
        if name == "bwrap":
            raise PlatformError("The sandbox needs the program `bwrap`, and it is not installed.")
        return real(name)

    monkeypatch.setattr(launch, "tool", tool)
    yield


def test_without_bubblewrap_nothing_runs(no_bubblewrap: None) -> None:
    with pytest.raises(PlatformError, match="bwrap"):
        run(["true"], limits=LIMITS)


def test_unsandboxed_only_where_allowed_and_said(no_bubblewrap: None, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "a").write_text("seen")
    outcome = run(
        [
            "sh",
            "-c",
            'cp "$1"/a "$2"; pwd; touch "$2"/b',
            "sh",
            "/data",
            "--out=/work".removeprefix("--out="),
        ],
        mounts=[ReadOnly(data, "/data"), Scratch("/work", save_to=tmp_path / "out")],
        limits=LIMITS,
        cwd="/work",
        allow_unsandboxed=True,
    )
    assert outcome.reason == "ok", outcome.stderr
    assert not outcome.sandboxed
    assert outcome.mechanisms["isolation"] == outcome.mechanisms["network"] == "none"
    assert outcome.saved[0].files == ("a", "b")
    assert (tmp_path / "out/a").read_text() == "seen"


def test_unsandboxed_still_ends(no_bubblewrap: None) -> None:
    token = str(secrets.randbelow(10**9) + 10**9)
    outcome = run(
        ["sh", "-c", f"sleep {token} & sleep {token}"], limits=Limits(wall=0.5), allow_unsandboxed=True
    )
    assert outcome.reason == "timeout"
    assert eventually(lambda: not alive(token))


def alive(token: str) -> dict[int, str]:
    """The command lines with `token` in them, by process."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_text(errors="replace")
        except OSError:
            continue
        if token in words:
            found[int(path.parent.name)] = words
    return found


def eventually(condition) -> bool:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False
