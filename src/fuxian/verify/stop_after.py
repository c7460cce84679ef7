"""Runs a training until its log has enough lines. Part of the sandboxed command, with nothing but Python's library.

    python stop_after.py LINES NAME FILE COMMAND...

Stops COMMAND when FILE (``-``: what it prints) has LINES lines that hold NAME. What the log then says is judged
outside: nothing is gained by misleading this program.
"""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

PAUSE = 0.05


def main() -> int:
    lines, name, file, *command = sys.argv[1:]
    wanted, needle = int(lines), name.casefold().encode()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)  # noqa: S603
    printed = 0

    def hand_on() -> None:
        nonlocal printed
        assert process.stdout is not None  # noqa: S101
        for line in process.stdout:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
            printed += needle in line.lower()

    reader = threading.Thread(target=hand_on, daemon=True)
    reader.start()
    while process.poll() is None:
        if (printed if file == "-" else _logged(file, needle)) >= wanted:
            process.send_signal(signal.SIGKILL)
            process.wait()
            # What it had printed by then is still to be handed on; a grandchild may keep the pipe open.
            reader.join(timeout=2)
            return 0
        time.sleep(PAUSE)
    reader.join(timeout=2)
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def _logged(file: str, needle: bytes) -> int:
    try:
        with Path(file).open("rb") as log:
            # A line counts when it is whole.
            return sum(needle in line.lower() for line in log if line.endswith(b"\n"))
    except OSError:
        return 0


if __name__ == "__main__":
    sys.exit(main())
