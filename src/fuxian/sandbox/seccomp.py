"""The system call filter of the sandbox, as a classic BPF program for `bwrap --seccomp`.

Everything is allowed except what the tables below name: calls that only reach for more power or for
rarely tested parts of the kernel, and sockets of every family that is not local. The network namespace
of the sandbox is empty but for its own loopback, so AF_INET and AF_INET6 stay allowed for programs that
talk to themselves (data loaders, notebooks, distributed training on one machine). AF_VSOCK and the like
do not belong to a network namespace: only this filter stops them.
"""

import errno
import platform
import struct

from fuxian.errors import PlatformError

# (x86_64, aarch64); None where that machine has no such call.
REFUSED_CALLS: dict[str, tuple[int | None, int | None]] = {
    # other processes' memory and descriptors
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    # kernel key rings, which outlive the sandbox
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # large parts of the kernel that a reproduction does not need
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18),
    "memfd_secret": (447, 447),
    "personality": (135, 92),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    # mounts and name spaces
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "unshare": (272, 97),
    "setns": (308, 268),
    # the machine itself
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "acct": (163, 89),
    "iopl": (172, None),
    "ioperm": (173, None),
    "vhangup": (153, 58),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
}

# Memory that no process's resident size shows; refused where only a watchdog counts memory.
# sched_setaffinity is here because without a cgroup the share of CPUs is an affinity.
REFUSED_WITHOUT_CGROUP: dict[str, tuple[int | None, int | None]] = {
    "memfd_create": (319, 279),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "sched_setaffinity": (203, 122),
}

_SOCKET, _SOCKETPAIR = (41, 198), (53, 199)
_CLONE, _CLONE3, _IOCTL = (56, 220), (435, 435), (16, 29)

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000
# NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_CLONE_NEW = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10
_IPPROTO_DEFAULT, _IPPROTO_TCP, _IPPROTO_UDP = 0, 6, 17

_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16

Instruction = tuple[int, int, int, int]


def _load(offset: int) -> Instruction:
    return (_LOAD, 0, 0, offset)


def _argument(index: int) -> Instruction:
    # The low half of a 64-bit argument: all that the kernel reads of a family, a flag word or a request.
    return _load(_ARGUMENTS + 8 * index)


def _give(action: int) -> Instruction:
    return (_RETURN, 0, 0, action)


def _refuse(number: int) -> Instruction:
    return _give(_ERRNO | number)


def _when_equal(value: int, then: list[Instruction]) -> list[Instruction]:
    return [(_JUMP_EQUAL, 0, len(then), value), *then]


def program(machine: str | None = None, *, with_cgroup: bool = True) -> bytes:
    """The filter for `machine` (default: this one) as the bytes of a `struct sock_filter` array.

    `with_cgroup` says whether a cgroup counts the sandbox's memory; without one, memory that only a cgroup
    can see is refused. Raises PlatformError for a machine other than x86_64 and aarch64.
    """
    machine = machine or platform.machine()
    if machine not in _AUDIT_ARCH:
        raise PlatformError(
            f"The sandbox has no system call filter for {machine} processors: use x86_64 or aarch64."
        )
    column = list(_AUDIT_ARCH).index(machine)
    refused = REFUSED_CALLS if with_cgroup else REFUSED_CALLS | REFUSED_WITHOUT_CGROUP

    steps: list[Instruction] = [_load(_ARCHITECTURE)]
    steps += [(_JUMP_EQUAL, 1, 0, _AUDIT_ARCH[machine]), _give(_KILL_PROCESS)]
    steps += [_load(_NUMBER)]
    if machine == "x86_64":
        # x32 calls carry other numbers for the same work and would pass every test below.
        steps += [(_JUMP_GREATER_EQUAL, 0, 1, _X32_BIT), _give(_KILL_PROCESS)]
    for numbers in refused.values():
        number = numbers[column]
        if number is not None:
            steps += _when_equal(number, [_refuse(errno.EPERM)])
    # clone3 hides its flags behind a pointer; told that it does not exist, the C library uses clone.
    steps += _when_equal(_CLONE3[column], [_refuse(errno.ENOSYS)])
    steps += _when_equal(
        _CLONE[column],
        [_argument(0), (_JUMP_ANY_BIT, 0, 1, _CLONE_NEW), _refuse(errno.EPERM), _give(_ALLOW)],
    )
    steps += _when_equal(
        _IOCTL[column],
        [
            _argument(1),
            *_when_equal(_TIOCSTI, [_refuse(errno.EPERM)]),
            *_when_equal(_TIOCLINUX, [_refuse(errno.EPERM)]),
            _give(_ALLOW),
        ],
    )
    steps += _when_equal(
        _SOCKETPAIR[column],
        [_argument(0), *_when_equal(_AF_UNIX, [_give(_ALLOW)]), _refuse(errno.EAFNOSUPPORT)],
    )
    # Other protocols of the internet families would make the kernel load rarely used modules.
    usual_protocol = [
        _argument(2),
        *_when_equal(_IPPROTO_DEFAULT, [_give(_ALLOW)]),
        *_when_equal(_IPPROTO_TCP, [_give(_ALLOW)]),
        *_when_equal(_IPPROTO_UDP, [_give(_ALLOW)]),
        _refuse(errno.EPROTONOSUPPORT),
    ]
    steps += _when_equal(
        _SOCKET[column],
        [
            _argument(0),
            *_when_equal(_AF_UNIX, [_give(_ALLOW)]),
            *_when_equal(_AF_INET, usual_protocol),
            *_when_equal(_AF_INET6, usual_protocol),
            _refuse(errno.EAFNOSUPPORT),
        ],
    )
    steps += [_give(_ALLOW)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
