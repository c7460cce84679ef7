"""Raises its own limits."""

import resource

from attempt import end

for name in ("RLIMIT_CORE", "RLIMIT_NOFILE"):
    kind = getattr(resource, name)
    try:
        resource.setrlimit(kind, (1 << 30, 1 << 30))
    except (OSError, ValueError):
        print("refused", name)
    else:
        print("ESCAPED:", name)
end()
