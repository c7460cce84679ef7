"""Leaves results under names that break terminals, pages, logs and tools."""

import attempt  # noqa: F401 - ends this script outside a sandbox

for name in (
    b"\xff\xfe",
    b"line\nbreak",
    b"\x1b[2J\x1b]0;owned\x07",
    b"-rf",
    b"<script>alert(1)<script>",
    b"x" * 255,
    b"tab\t",
    "\u202egnp.exe".encode(),
    b"...",
    b" ",
    b"nul\x00l",
):
    try:
        open(b"/out/" + name, "w").close()
    except ValueError:
        print("no such name can be")
open("/out/good", "w").write("good")
