"""The training is stopped as soon as its log has the lines that are compared."""

import subprocess
import sys
from pathlib import Path

import fuxian.verify

PROGRAM = Path(fuxian.verify.__file__).with_name("stop_after.py")
ENDLESS = """
import itertools, sys, time
out = open(sys.argv[1], "w") if len(sys.argv) > 1 else sys.stdout
for step in itertools.count(1):
    print("step", step, "LOSS 1.0", file=out, flush=True)
    time.sleep(0.01)
"""


def go(lines, file, *command):
    return subprocess.run(
        [sys.executable, "-I", str(PROGRAM), str(lines), "loss", file, *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_endless_training_is_stopped_by_what_it_prints():
    done = go(5, "-", sys.executable, "-c", ENDLESS)
    assert done.returncode == 0
    assert done.stdout.startswith("step 1 LOSS 1.0\nstep 2 ")
    assert done.stdout.count("LOSS") >= 5


def test_or_by_the_file_that_it_writes(tmp_path):
    log = tmp_path / "log"
    done = go(5, str(log), sys.executable, "-c", ENDLESS, str(log))
    assert done.returncode == 0
    assert log.read_text().count("LOSS") >= 5


def test_a_training_that_ends_itself_keeps_its_exit_code():
    assert go(5, "-", sys.executable, "-c", "print('loss'); exit(3)").returncode == 3
    assert go(5, "-", sys.executable, "-c", "import os; os.kill(os.getpid(), 9)").returncode == 137
