import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuxian.sandbox.limits import MIB, Limits
from fuxian.sandbox.outcome import Capture, Facts, judge, readable, signal_of


@given(st.lists(st.binary(max_size=50), max_size=20), st.integers(1, 64))
def test_capture_keeps_both_ends(pieces: list[bytes], kept: int) -> None:
    whole = b"".join(pieces)
    capture = Capture(kept)
    for piece in pieces:
        capture.add(piece)

    content = capture.content()

    assert capture.total == len(whole)
    assert capture.left_out == max(0, len(whole) - kept)
    if len(whole) <= kept:
        assert content == whole
    else:
        assert content.startswith(whole[: (kept + 1) // 2])
        assert content.endswith(whole[len(whole) - kept // 2 :])
        assert b"%d bytes left out" % capture.left_out in content


@given(st.binary(max_size=20), st.integers(1, 6))
def test_opening_is_not_content(rest: bytes, step: int) -> None:
    capture = Capture(100, opening=b"start\n")
    stream = b"start\n" + rest
    for at in range(0, len(stream), step):
        capture.add(stream[at : at + step])
    assert capture.opening == b""
    assert capture.content() == rest


@given(st.binary(max_size=200))
def test_readable_is_harmless(data: bytes) -> None:
    text = readable(data)
    assert all(c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs") for c in text)
    text.encode()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain \xe5\xa4\x8d\xe7\x8e\xb0\n", "plain 复现\n"),
        (b"\x1b[1;31mred\x1b[0m", "red"),
        (b"\x1b]0;title\x07after", "after"),
        (b"\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"10%\r20%\r\n30%", "10%\n20%\n30%"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        ("\u202eabc\u2066".encode(), "abc"),
    ],
)
def test_readable(data: bytes, text: str) -> None:
    assert readable(data) == text


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (Facts(0, None), "ok"),
        (Facts(1, None), "crash"),
        (Facts(139, None), "crash"),
        (Facts(None, "timeout"), "timeout"),
        (Facts(137, None, oom_kills=1), "oom"),
        (Facts(1, None, pids_refused=2), "pids"),
        (Facts(1, None, disk_was_full=True), "disk"),
        (Facts(152, None), "timeout"),  # SIGXCPU
        (Facts(137, None, cpu_limit_passed=True), "timeout"),
        (Facts(1, None, last_words="MemoryError"), "oom"),
        (Facts(1, None, last_words="OSError: [Errno 28] No space left on device: 'x'"), "disk"),
        (
            Facts(1, None, last_words="socket.gaierror: [Errno -3] Temporary failure in name resolution"),
            "network",
        ),
        # What a program says of itself never turns a failure into a success, nor outdoes a measurement.
        (Facts(1, None, oom_kills=1, last_words="Network is unreachable"), "oom"),
        (Facts(0, None, last_words="MemoryError"), "ok"),
        (Facts(0, None, pids_refused=1, disk_was_full=True), "ok"),
    ],
)
def test_judge(facts: Facts, reason: str) -> None:
    assert judge(facts)[0] == reason


def test_crash_says_how() -> None:
    assert judge(Facts(139, None))[1] == "The command was ended by SIGSEGV."
    assert judge(Facts(3, None))[1] == "The command ended with exit code 3."


def test_signal_of() -> None:
    assert [signal_of(status) for status in (None, 0, 127, 128, 137, 255)] == [
        None,
        None,
        None,
        None,
        9,
        None,
    ]


def test_limits_are_said_with_their_size_and_place() -> None:
    limits = Limits(wall=90, memory=256 * MIB, pids=7, output=3 * MIB, entries=50)
    said = {
        "timeout": judge(Facts(None, "timeout", limits=limits))[1],
        "oom": judge(Facts(1, "oom", limits=limits))[1],
        "disk": judge(Facts(1, "disk", full="/out", full_bytes=5 * MIB, limits=limits))[1],
        "files": judge(Facts(1, "disk", full="/out", limits=limits))[1],
        "pids": judge(Facts(1, "pids", limits=limits))[1],
        "output": judge(Facts(1, "output", limits=limits))[1],
    }
    for kind, words in {
        "timeout": "90 s",
        "oom": "256 MiB",
        "disk": "into /out, 5 MiB",
        "files": "/out holds 50 files",
        "pids": "the 7 processes",
        "output": "3 MiB",
    }.items():
        assert words in said[kind]
