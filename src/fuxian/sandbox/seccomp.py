"""The system call filter of the sandbox, as a classic BPF program for `bwrap --seccomp`.

Only what the tables below name is allowed: what Python, Paddle, shells, git and build tools were seen to call, and
their close relatives. Of the rest, calls that reach for more power or for rarely tested parts of the kernel are
refused by name, and any other call, one of a newer kernel too, does not exist here, for which programs are prepared.
Sockets are local or of the internet families. The network namespace
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

ALLOWED_CALLS: dict[str, tuple[int | None, int | None]] = {
    # files and folders
    "read": (0, 63),
    "write": (1, 64),
    "open": (2, None),
    "close": (3, 57),
    "stat": (4, None),
    "fstat": (5, 80),
    "lstat": (6, None),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "access": (21, None),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "lseek": (8, 62),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "readv": (19, 65),
    "writev": (20, 66),
    "preadv": (295, 69),
    "pwritev": (296, 70),
    "preadv2": (327, 286),
    "pwritev2": (328, 287),
    "openat": (257, 56),
    "openat2": (437, 437),
    "creat": (85, None),
    "truncate": (76, 45),
    "ftruncate": (77, 46),
    "fallocate": (285, 47),
    "fsync": (74, 82),
    "fdatasync": (75, 83),
    "sync": (162, 81),
    "syncfs": (306, 267),
    "sync_file_range": (277, 84),
    "readahead": (187, 213),
    "fadvise64": (221, 223),
    "sendfile": (40, 71),
    "copy_file_range": (326, 285),
    "flock": (73, 32),
    "fcntl": (72, 25),
    "dup": (32, 23),
    "dup2": (33, None),
    "dup3": (292, 24),
    "getdents": (78, None),
    "getdents64": (217, 61),
    "getcwd": (79, 17),
    "chdir": (80, 49),
    "fchdir": (81, 50),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "rmdir": (84, None),
    "link": (86, None),
    "linkat": (265, 37),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "symlink": (88, None),
    "symlinkat": (266, 36),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "umask": (95, 166),
    "utime": (132, None),
    "utimes": (235, None),
    "utimensat": (280, 88),
    "futimesat": (261, None),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "statfs": (137, 43),
    "fstatfs": (138, 44),
    "getxattr": (191, 8),
    "lgetxattr": (192, 9),
    "fgetxattr": (193, 10),
    "listxattr": (194, 11),
    "llistxattr": (195, 12),
    "flistxattr": (196, 13),
    "close_range": (436, 436),
    # memory
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "mremap": (25, 216),
    "msync": (26, 227),
    "mincore": (27, 232),
    "madvise": (28, 233),
    "mlock": (149, 228),
    "munlock": (150, 229),
    "mlockall": (151, 230),
    "munlockall": (152, 231),
    "mlock2": (325, 284),
    "memfd_create": (319, 279),
    "mbind": (237, 235),
    "get_mempolicy": (239, 236),
    "set_mempolicy": (238, 237),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "shmdt": (67, 197),
    # processes, threads and signals
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "wait4": (61, 260),
    "waitid": (247, 95),
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "futex": (202, 98),
    "futex_waitv": (449, 449),
    "set_robust_list": (273, 99),
    "set_tid_address": (218, 96),
    "rseq": (334, 293),
    "membarrier": (324, 283),
    "restart_syscall": (219, 128),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "gettid": (186, 178),
    "getpgrp": (111, None),
    "getpgid": (121, 155),
    "setpgid": (109, 154),
    "getsid": (124, 156),
    "setsid": (112, 157),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "getresuid": (118, 148),
    "getresgid": (120, 150),
    "getgroups": (115, 158),
    "capget": (125, 90),
    "prctl": (157, 167),
    "arch_prctl": (158, None),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "rt_sigpending": (127, 136),
    "rt_sigtimedwait": (128, 137),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "rt_sigsuspend": (130, 133),
    "sigaltstack": (131, 132),
    "signalfd": (282, None),
    "signalfd4": (289, 74),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "semget": (64, 190),
    "semop": (65, 193),
    "semctl": (66, 191),
    "semtimedop": (220, 192),
    "pause": (34, None),
    # time and use of the machine
    "time": (201, None),
    "gettimeofday": (96, 169),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101),
    "alarm": (37, None),
    "getitimer": (36, 102),
    "setitimer": (38, 103),
    "timer_create": (222, 107),
    "timer_settime": (223, 110),
    "timer_gettime": (224, 108),
    "timer_getoverrun": (225, 109),
    "timer_delete": (226, 111),
    "timerfd_create": (283, 85),
    "timerfd_settime": (286, 86),
    "timerfd_gettime": (287, 87),
    "times": (100, 153),
    "getrusage": (98, 165),
    "getrlimit": (97, 163),
    "setrlimit": (160, 164),
    "prlimit64": (302, 261),
    "getpriority": (140, 141),
    "setpriority": (141, 140),
    "ioprio_get": (252, 31),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "sched_setaffinity": (203, 122),
    "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120),
    "sched_setscheduler": (144, 119),
    "sched_get_priority_max": (146, 125),
    "sched_get_priority_min": (147, 126),
    "sched_rr_get_interval": (148, 127),
    "getcpu": (309, 168),
    "sysinfo": (99, 179),
    "uname": (63, 160),
    "getrandom": (318, 278),
    # pipes, waiting and local sockets
    "pipe": (22, None),
    "pipe2": (293, 59),
    "select": (23, None),
    "pselect6": (270, 72),
    "poll": (7, None),
    "ppoll": (271, 73),
    "epoll_create": (213, None),
    "epoll_create1": (291, 20),
    "epoll_ctl": (233, 21),
    "epoll_wait": (232, None),
    "epoll_pwait": (281, 22),
    "epoll_pwait2": (441, 441),
    "eventfd": (284, None),
    "eventfd2": (290, 19),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "inotify_add_watch": (254, 27),
    "inotify_rm_watch": (255, 28),
    "connect": (42, 203),
    "accept": (43, 202),
    "accept4": (288, 242),
    "bind": (49, 200),
    "listen": (50, 201),
    "shutdown": (48, 210),
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    "sendmsg": (46, 211),
    "recvmsg": (47, 212),
    "sendmmsg": (307, 269),
    "recvmmsg": (299, 243),
    "getsockname": (51, 204),
    "getpeername": (52, 205),
    "setsockopt": (54, 208),
    "getsockopt": (55, 209),
}
"""``clone``, ``ioctl``, ``socket`` and ``socketpair`` are judged by their arguments, below."""

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
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_NETLINK_ROUTE = 0
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
    # Jupyter's message library asks which interfaces there are: of the sandbox's own network, its loopback.
    routes_alone = [
        _argument(2),
        *_when_equal(_NETLINK_ROUTE, [_give(_ALLOW)]),
        _refuse(errno.EPROTONOSUPPORT),
    ]
    steps += _when_equal(
        _SOCKET[column],
        [
            _argument(0),
            *_when_equal(_AF_UNIX, [_give(_ALLOW)]),
            *_when_equal(_AF_INET, usual_protocol),
            *_when_equal(_AF_INET6, usual_protocol),
            *_when_equal(_AF_NETLINK, routes_alone),
            _refuse(errno.EAFNOSUPPORT),
        ],
    )
    allowed = {one[column] for one in ALLOWED_CALLS.values()} - {one[column] for one in refused.values()}
    for first, last in _ranges(sorted(number for number in allowed if number is not None)):
        steps += [(_JUMP_GREATER_EQUAL, 0, 2, first), (_JUMP_GREATER_EQUAL, 1, 0, last + 1), _give(_ALLOW)]
    steps += [_refuse(errno.ENOSYS)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def _ranges(numbers: list[int]) -> list[tuple[int, int]]:
    """The first and last of each run of numbers without a gap: few comparisons decide each call."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    return found
