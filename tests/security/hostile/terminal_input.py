"""Types commands into the terminal from which the checker was started."""

import fcntl
import os
import sys
import termios

from attempt import end, refused

for number in (0, 1, 2):
    for letter in b"id\n":
        refused(f"TIOCSTI {number}", fcntl.ioctl, number, termios.TIOCSTI, bytes([letter]))
    refused(f"TIOCLINUX {number}", fcntl.ioctl, number, 0x541C, b"\x03")
refused("controlling terminal", os.open, "/dev/tty", os.O_RDWR)
ours, theirs = os.openpty()
refused("TIOCSTI own", fcntl.ioctl, theirs, termios.TIOCSTI, b"x")
if sys.stdin.read():
    print("ESCAPED: input")
end()
