"""Reaches for parts of the kernel that attacks are made of, and for the machine itself."""

from attempt import X86, call, end, refused

calls = {
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "fanotify_init": (300, 262),
    "personality": (135, 92),
    "memfd_secret": (447, 447),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "syslog": (103, 116),
    "acct": (163, 89),
    "swapon": (167, 224),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "quotactl": (179, 60),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    "vhangup": (153, 58),
}
for name, numbers in calls.items():
    refused(name, call, numbers[0 if X86 else 1], 0, 0, 0, 0, 0)
CAD_OFF = 0  # the one command of reboot(2) that would do nothing
refused("reboot", call, 169 if X86 else 142, 0xFEE1DEAD, 672274793, CAD_OFF, 0)
if X86:
    refused("iopl", call, 172, 3)
    refused("ioperm", call, 173, 0, 1, 1)
    refused("modify_ldt", call, 154, 0, 0, 0)
end()
