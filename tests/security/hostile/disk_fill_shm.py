"""Fills /dev/shm."""

block = b"x" * (1 << 20)
with open("/dev/shm/big", "wb") as file:
    while True:
        file.write(block)
