"""What an entrant is shown is short, printable, and no channel for test data."""

from fuxian.verify.entrant_output import LONGEST_LINE, MOST_CHARACTERS, shown


def test_ordinary_output_is_shown_as_it_is():
    text = "epoch 1, loss 0.25, ips 128.0\nTraceback (most recent call last):\n  File 'x.py', line 3\nKeyError: 'w'"
    assert shown(text.encode()) == text


def test_what_paddle_says_of_the_sandboxs_threads_is_left_out():
    warning = "WARNING: OMP_NUM_THREADS set to 2, not 1. The speed.\nPLEASE USE OMP_NUM_THREADS WISELY.\n"
    assert shown(f"before\n{warning}KeyError: 'w'\n".encode()) == "before\nKeyError: 'w'"


def test_terminal_sequences_and_bad_bytes_do_not_come_through():
    text = shown(b"\x1b[31mred\x1b[0m \x1b]0;title\x07 \xff\xfe \x00\x08 \xe2\x80\xaegnp.exe")
    assert all(c.isprintable() for c in text)
    assert text.startswith("red")


def test_rows_of_numbers_and_blobs_are_left_out():
    text = shown(b"labels: [" + b", ".join(b"%d" % (i % 10) for i in range(500)) + b"]\nkey " + b"QUJD" * 50)
    assert "[500 numbers]" in text
    assert "[200 characters]" in text
    assert len(text) < 100


def test_only_the_end_is_shown():
    text = shown(b"".join(b"line %d\n" % i for i in range(10_000)) + b"x y " * 1000)
    assert len(text) <= MOST_CHARACTERS
    assert max(map(len, text.splitlines())) <= LONGEST_LINE + 6
    assert "line 9999" in text
    assert "line 100\n" not in text
