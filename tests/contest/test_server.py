"""A server's end is its workers' end, however it ends; what they did goes back."""

import os
import signal
import subprocess
import sys
import time

import httpx
import pytest

from fuxian.contest.place import create

WORKER = "-m fuxian.cli.main contest worker"


def workers_of(folder):
    """The worker processes of a contest's folder."""
    listed = subprocess.run(["ps", "-ww", "-eo", "pid=,args="], check=True, capture_output=True, text=True)
    lines = (line.split(maxsplit=1) for line in listed.stdout.splitlines())
    return {int(pid) for pid, command in lines if WORKER in command and str(folder) in command}


def until(true, seconds=20):
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.2)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_its_server(tmp_path, monkeypatch, how):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    folder = tmp_path / "contest"
    create(folder, "class").database.close()
    port = 20000 + os.getpid() % 20000
    code = "from fuxian.cli.main import run; run()"
    words = ["contest", "serve", str(folder), "--port", str(port)]
    server = subprocess.Popen(
        [sys.executable, "-c", code, *words], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    try:
        until(lambda: workers_of(folder))
        worker = workers_of(folder)

        def ready():
            try:
                return httpx.get(f"http://127.0.0.1:{port}/ready", timeout=5).status_code == 200
            except httpx.HTTPError:
                return False

        until(ready)
        # The worker has come as far as to handle signals.
        until(lambda: httpx.get(f"http://127.0.0.1:{port}/api/v1/queue").json()["workers"][1:])
        server.send_signal(how)
        assert server.wait(timeout=60) in (0, -how)
        until(lambda: not worker & workers_of(folder))
    finally:
        server.kill()
        for pid in workers_of(folder):
            os.kill(pid, signal.SIGKILL)


WORKS = """
import threading
from fuxian.contest.server import run_workers

class Stand:
    def __init__(self):
        self.stopping = threading.Event()

    def stop(self):
        self.stopping.set()

    def run(self):
        import paddle  # as a verification does
        print("at work", flush=True)
        self.stopping.wait(60)
        print("gave back", flush=True)

run_workers([Stand()])
"""


def test_a_worker_that_has_loaded_paddle_gives_back_what_it_does():
    worker = subprocess.Popen([sys.executable, "-c", WORKS], stdout=subprocess.PIPE, text=True)
    assert worker.stdout.readline() == "at work\n"
    worker.send_signal(signal.SIGTERM)
    assert worker.communicate(timeout=60)[0] == "gave back\n"
    assert worker.returncode == 0
