"""The child: takes calls from the process that started it, and answers each within the memory it is given.

It starts with nothing imported but the wire, ends when its parent does, and can write no file.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import resource
import signal
import socket
import sys
import traceback

from fuxian.errors import InputError, Malformed, PlatformError
from fuxian.untrusted.answer import Ended, receive, send_answer, send_error

LARGEST_CALL = 1 << 30
_PR_SET_PDEATHSIG = 1
LONGEST_SENTENCE = 2000


def main() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    connection = socket.socket(fileno=int(sys.argv[1]))
    while True:
        try:
            call = receive(connection, LARGEST_CALL)
        except Ended:
            return
        try:
            # The parent is trusted: it is the only one that writes here.
            folder, memory, function, arguments = pickle.loads(bytes(call))  # noqa: S301
            os.chdir(folder)
            resource.setrlimit(resource.RLIMIT_DATA, (_data_size() + memory, resource.RLIM_INFINITY))
            send_answer(connection, function(*arguments))
        except Malformed as error:
            send_error(connection, "malformed", str(error)[:LONGEST_SENTENCE])
        except InputError as error:
            send_error(connection, "input", str(error)[:LONGEST_SENTENCE])
        except PlatformError as error:
            send_error(connection, "platform", str(error)[:LONGEST_SENTENCE])
        except MemoryError:
            resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            send_error(connection, "memory", "")
            return
        except RecursionError:
            send_error(connection, "deep", "")
        except Exception as error:
            if os.environ.get("FUXIAN_TRACEBACK"):
                traceback.print_exc()
            send_error(connection, "failed", type(error).__name__)
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _data_size() -> int:
    """Bytes that count against RLIMIT_DATA so far."""
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - called for each parse
        for line in status:
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main()
