"""Looks whether the first process of the sandbox, whose memory it can write, has more freedom than itself."""

from attempt import end


def held(pid):
    lines = open(f"/proc/{pid}/status").read().splitlines()
    names = ("Cap", "Seccomp", "NoNewPrivs", "Uid", "Gid", "Groups")
    return [line for line in lines if line.startswith(names)], open(f"/proc/{pid}/cgroup").read()


if held(1) != held("self"):
    print("ESCAPED:", held(1), held("self"))
end()
