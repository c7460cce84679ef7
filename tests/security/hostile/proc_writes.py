"""Changes the kernel through /proc; `core_pattern` would run a program as root on the host."""

from attempt import end, open_to_write, refused, write

for path in (
    "kernel/core_pattern",
    "kernel/modprobe",
    "kernel/hostname",
    "kernel/randomize_va_space",
    "kernel/ns_last_pid",
    "kernel/unprivileged_bpf_disabled",
    "vm/overcommit_memory",
    "net/ipv4/ip_forward",
    "user/max_user_namespaces",
):
    refused(path, write, f"/proc/sys/{path}")
for path in (
    "/proc/sys/vm/drop_caches",
    "/proc/sys/fs/binfmt_misc/register",
    "/proc/sysrq-trigger",
    "/proc/irq/0/smp_affinity",
    "/proc/acpi/wakeup",
    "/proc/kcore",
    "/proc/kmsg",
):
    refused(path, open_to_write, path)
for path in ("/proc/1/uid_map", "/proc/self/uid_map", "/proc/self/gid_map"):
    refused(path, write, path, b"0 0 1")
refused("setgroups", write, "/proc/self/setgroups", b"allow")
refused("not to be chosen when memory runs out", write, "/proc/self/oom_score_adj", b"-1000")
refused("nor the first process", write, "/proc/1/oom_score_adj", b"-1000")
end()
