"""Changes the kernel through /proc; `core_pattern` would run a program as root on the host."""

from attempt import end, refused, write

for path in (
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/randomize_va_space",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/kernel/unprivileged_bpf_disabled",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/vm/drop_caches",
    "/proc/sys/fs/binfmt_misc/register",
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sys/user/max_user_namespaces",
    "/proc/sysrq-trigger",
    "/proc/irq/0/smp_affinity",
    "/proc/acpi/wakeup",
    "/proc/kcore",
    "/proc/kmsg",
    "/proc/1/mem",
    "/proc/1/uid_map",
    "/proc/self/uid_map",
    "/proc/self/gid_map",
    "/proc/self/setgroups",
):
    refused(path, write, path)
refused("not to be chosen when memory runs out", write, "/proc/self/oom_score_adj", "-1000")
refused("nor the first process", write, "/proc/1/oom_score_adj", "-1000")
end()
