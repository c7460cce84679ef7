"""The filter is run here by a small interpreter of classic BPF, call by call."""

import errno
import struct

import pytest

from fuxian.errors import PlatformError
from fuxian.sandbox import seccomp

X86_64, AARCH64, I386 = 0xC000003E, 0xC00000B7, 0x40000003
ALLOW, KILL = "allow", "kill"


def verdict(program: bytes, number: int, *arguments: int, architecture: int = X86_64) -> str:
    """What the kernel would do: `allow`, `kill`, or the name of an error."""
    data = struct.pack("=IIQ6Q", number, architecture, 0, *(*arguments, 0, 0, 0, 0, 0, 0)[:6])
    steps = list(struct.iter_unpack("=HBBI", program))
    at, register = 0, 0
    while True:
        code, yes, no, value = steps[at]
        at += 1
        if code == 0x20:
            (register,) = struct.unpack_from("=I", data, value)
        elif code == 0x15:
            at += yes if register == value else no
        elif code == 0x35:
            at += yes if register >= value else no
        elif code == 0x45:
            at += yes if register & value else no
        elif code == 0x06:
            return {0x7FFF0000: ALLOW, 0x80000000: KILL}.get(value) or errno.errorcode[value & 0xFFFF]
        else:
            raise AssertionError(f"unknown instruction {code:#x}")


@pytest.mark.parametrize(
    ("machine", "architecture", "column"), [("x86_64", X86_64, 0), ("aarch64", AARCH64, 1)]
)
def test_every_named_call_is_refused(machine: str, architecture: int, column: int) -> None:
    program = seccomp.program(machine, with_cgroup=False)
    for name, numbers in (seccomp.REFUSED_CALLS | seccomp.REFUSED_WITHOUT_CGROUP).items():
        number = numbers[column]
        if number is not None:
            assert verdict(program, number, architecture=architecture) == "EPERM", name


@pytest.mark.parametrize(
    ("machine", "architecture", "usual"),
    [
        # read, write, mmap, futex, execve, openat, fork
        ("x86_64", X86_64, (0, 1, 9, 202, 59, 257, 57)),
        # read, write, mmap, futex, execve, openat
        ("aarch64", AARCH64, (63, 64, 222, 98, 221, 56)),
    ],
)
def test_usual_calls_are_allowed(machine: str, architecture: int, usual: tuple[int, ...]) -> None:
    program = seccomp.program(machine)
    for number in usual:
        assert verdict(program, number, architecture=architecture) == ALLOW, number


def test_calls_of_another_machine_type_end_the_process() -> None:
    program = seccomp.program("x86_64")
    assert verdict(program, 20, architecture=I386) == KILL
    assert verdict(program, 0x40000000 + 39) == KILL


def test_only_local_socket_families() -> None:
    program = seccomp.program("x86_64")
    allowed = {family for family in range(64) if verdict(program, 41, family, 1, 0) == ALLOW}
    assert allowed == {1, 2, 10, 16}
    assert {kind for kind in range(64) if verdict(program, 41, 16, 3, kind) == ALLOW} == {0}  # routes alone
    pairs = {family for family in range(64) if verdict(program, 53, family, 1, 0) == ALLOW}
    assert pairs == {1}
    assert verdict(program, 41, 40, 1, 0) == "EAFNOSUPPORT"  # AF_VSOCK


@pytest.mark.parametrize("family", [2, 10])
def test_only_usual_internet_protocols(family: int) -> None:
    program = seccomp.program("x86_64")
    allowed = {protocol for protocol in range(300) if verdict(program, 41, family, 1, protocol) == ALLOW}
    assert allowed == {0, 6, 17}


def test_new_processes_but_no_new_name_spaces() -> None:
    program = seccomp.program("x86_64")
    thread, fork = 0x3D0F00, 0x01200011
    assert verdict(program, 56, thread) == verdict(program, 56, fork) == ALLOW
    for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert verdict(program, 56, fork | flag) == "EPERM"
    assert verdict(program, 435) == "ENOSYS"  # clone3: the C library then uses clone


def test_no_typing_into_terminals() -> None:
    program = seccomp.program("x86_64")
    assert verdict(program, 16, 0, 0x5412) == verdict(program, 16, 0, 0x541C) == "EPERM"
    # The kernel reads 32 bits of the request: the upper half must not hide it.
    assert verdict(program, 16, 0, (1 << 32) | 0x5412) == "EPERM"
    assert verdict(program, 16, 0, 0x5413) == ALLOW  # the size of the window


def test_memory_that_only_a_cgroup_sees() -> None:
    memfd_create = 319
    assert verdict(seccomp.program("x86_64", with_cgroup=True), memfd_create) == ALLOW
    assert verdict(seccomp.program("x86_64", with_cgroup=False), memfd_create) == "EPERM"


def test_unknown_processor() -> None:
    with pytest.raises(PlatformError, match="riscv64"):
        seccomp.program("riscv64")
