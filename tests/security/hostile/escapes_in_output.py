"""Prints what steers terminals, hides text, reverses it, and is not text at all."""

import os

import attempt  # noqa: F401 - ends this script outside a sandbox

os.write(
    1,
    b"\x1b[2J\x1b[H\x1b]0;owned\x07\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\ \x1b[31mred\x1b[0m\n",
)
os.write(1, b"\x1b]52;c;cm0gLXJmIC8=\x07 \x9b31m \xff\xfe \x00 \x08\x08 \x7f end\n")
os.write(1, "\u202e\u2066reversed\u2069 \u200bhidden\n".encode())
os.write(2, b"\x1bP+q544e\x1b\\ accepted\r\n")
