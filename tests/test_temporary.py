"""Temporary folders, and the time that work may take."""

import os
import signal
import subprocess
import sys
import tempfile
import threading

import pytest

from fuxian import deadline, temporary
from fuxian.errors import Stopped
from fuxian.temporary import temporary_folder
from fuxian.tool import TooLong, TooMuch, run_tool

HOLD = """
import sys
from fuxian.temporary import temporary_folder
with temporary_folder("trial") as folder:
    (folder / "file").write_text("x")
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_run_left_is_swept_and_what_is_held_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(temporary, "FRESH", 0.0)
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", HOLD]
    runs = [
        subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        for _ in range(2)
    ]
    left, held = (run.stdout.readline().decode().strip() for run in runs)
    runs[0].send_signal(signal.SIGKILL)
    runs[0].wait()
    with temporary_folder("trial") as own:
        assert not os.path.exists(left)  # noqa: PTH110
        assert os.path.exists(held)  # noqa: PTH110
    assert not own.exists()
    runs[1].communicate(b"")
    assert not any(tmp_path.iterdir())


def test_programs_end_with_the_time_and_the_room_that_they_have():
    environment = dict(os.environ)
    assert run_tool(["echo", "hi"], seconds=30, env=environment).stdout == b"hi\n"
    assert run_tool(["sh", "-c", "echo no >&2; exit 3"], seconds=30, env=environment).code == 3
    with pytest.raises(TooLong):
        run_tool(["sleep", "60"], seconds=0.3, env=environment)
    with pytest.raises(TooMuch):
        run_tool(
            ["sh", "-c", "while :; do echo aaaaaaaaaaaaaaaa; done"], seconds=60, env=environment, most=1000
        )
    cancel = threading.Event()
    threading.Timer(0.3, cancel.set).start()
    with pytest.raises(Stopped) as stopped, deadline.within(None, cancel):
        run_tool(["sleep", "60"], seconds=60, env=environment)
    assert stopped.value.cancelled
