"""What came of one sandboxed run, and why it ended as it did."""

import re
import signal as signals
import unicodedata
from dataclasses import dataclass, field
from typing import Literal

from fuxian.sandbox.collect import Saved
from fuxian.sandbox.limits import MIB, Limits

Reason = Literal["ok", "crash", "timeout", "oom", "pids", "disk", "output", "network", "cancelled"]


@dataclass(frozen=True)
class Outcome:
    """One finished run."""

    command: tuple[str, ...]
    reason: Reason
    detail: str
    """One sentence for a person."""
    exit_code: int | None
    """None where a signal or the sandbox ended the command."""
    signal: int | None
    """The signal that ended the command, as its shell would report it (exit code 128 + signal)."""
    wall: float
    """Seconds."""
    cpu: float
    """CPU seconds of all processes; a lower bound where no cgroup counts them."""
    peak_memory: int
    """Bytes of all processes together, scratch files included; sampled where no cgroup counts them."""
    stdout: bytes
    stderr: bytes
    stdout_left_out: int
    """Bytes missing from the middle of `stdout`."""
    stderr_left_out: int
    sandboxed: bool
    mechanisms: dict[str, str]
    """What held each part of the isolation and each limit."""
    saved: tuple[Saved, ...] = ()


@dataclass(frozen=True)
class Facts:
    """What was measured of a run, before anything is concluded from it."""

    status: int | None
    """The exit status; None where the sandbox stopped the run."""
    stopped: Reason | None
    """Why the sandbox stopped the run."""
    oom_kills: int = 0
    pids_refused: int = 0
    disk_was_full: bool = False
    full: str = ""
    """The scratch directory that was full."""
    full_bytes: int = 0
    """Its size; 0 where it was full of files."""
    limits: Limits = field(default_factory=Limits)
    cpu_limit_passed: bool = False
    last_words: str = ""
    """The end of stderr, readable."""


DETAILS: dict[Reason, str] = {
    "ok": "The command ended with exit code 0.",
    "crash": "The command failed.",
    "timeout": "The command ran longer than the {wall:g} s that it may take and was stopped.",
    "oom": "The command needed more memory than the {memory} MiB that it may use, files in memory included.",
    "pids": "The command started more than the {pids} processes or threads that it may have.",
    "disk": "The command wrote more than fits{place}.",
    "output": "The command printed more than the {output} MiB that it may print and was stopped.",
    "network": "The command tried to use the network, and there is none in the sandbox.",
    "cancelled": "The run was cancelled.",
}

# How programs word it when they run into a limit: they turn an unexplained failure into an explained one,
# never a failure into a success, so it does no harm that a program can print such words on purpose.
_WORDS: tuple[tuple[Reason, str], ...] = (
    ("oom", r"\bMemoryError\b|std::bad_alloc|Cannot allocate memory|DefaultCPUAllocator: can't allocate"),
    ("disk", r"No space left on device|Disk quota exceeded"),
    ("pids", r"can't start new thread|Resource temporarily unavailable.*fork|fork.*Resource temporarily"),
    (
        "network",
        r"Network is unreachable|Temporary failure in name resolution|Name or service not known"
        r"|No address associated with hostname|Could not resolve host|NameResolutionError"
        r"|Address family not supported by protocol",
    ),
)


def judge(facts: Facts) -> tuple[Reason, str]:
    """The reason code and a sentence. What was measured counts before what the program says of itself."""
    reason = _reason(facts)
    limits = facts.limits
    detail = DETAILS[reason].format(
        wall=limits.wall,
        memory=limits.memory // MIB,
        pids=limits.pids,
        output=limits.output // MIB,
        place=f": {facts.full} holds {limits.entries} files"
        if facts.full and not facts.full_bytes
        else f" into {facts.full}, {facts.full_bytes // MIB} MiB"
        if facts.full
        else " in its scratch directories",
    )
    if reason == "crash":
        signal = signal_of(facts.status)
        detail = (
            f"The command was ended by {signal_name(signal)}."
            if signal
            else f"The command ended with exit code {facts.status}."
        )
    return reason, detail


def _reason(facts: Facts) -> Reason:
    if facts.stopped:
        return facts.stopped
    if facts.status == 0:
        return "ok"
    if facts.oom_kills:
        return "oom"
    if facts.cpu_limit_passed or signal_of(facts.status) == signals.SIGXCPU:
        return "timeout"
    if facts.pids_refused:
        return "pids"
    if facts.disk_was_full:
        return "disk"
    for reason, words in _WORDS:
        if re.search(words, facts.last_words):
            return reason
    return "crash"


def signal_of(status: int | None) -> int | None:
    """The signal that an exit status of 128 + signal stands for."""
    return status - 128 if status is not None and 128 < status <= 128 + signals.NSIG else None


def signal_name(number: int) -> str:
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


@dataclass
class Capture:
    """The first and the last half of `kept` bytes of a stream that may be endless."""

    kept: int
    opening: bytes = b""
    """What the stream must still begin with; it is not part of the content."""
    total: int = 0
    _head: bytearray = field(default_factory=bytearray)
    _tail: bytearray = field(default_factory=bytearray)

    def add(self, data: bytes) -> None:
        expected = data[: len(self.opening)]
        if expected and self.opening.startswith(expected):
            self.opening = self.opening[len(expected) :]
            data = data[len(expected) :]
        self.total += len(data)
        room = (self.kept + 1) // 2 - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        del self._tail[: max(0, len(self._tail) - self.kept // 2)]

    @property
    def left_out(self) -> int:
        return self.total - len(self._head) - len(self._tail)

    def content(self) -> bytes:
        """What was kept, with a line where something is missing."""
        gap = b"\n[... %d bytes left out ...]\n" % self.left_out if self.left_out else b""
        return bytes(self._head) + gap + bytes(self._tail)


_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC and other strings: titles, links, clipboard
    r"|\x1b[ -/]*[0-~]"
)


def readable(data: bytes) -> str:
    """Text that is safe to show: UTF-8 with the invalid parts replaced and without anything that steers a
    terminal or reorders text. A carriage return starts a new line."""
    text = data.decode("utf-8", "replace")
    text = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
