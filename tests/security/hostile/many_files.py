"""Makes empty files without end: they take no space, but each takes memory of the kernel."""

import itertools

import attempt  # noqa: F401 - ends this script outside a sandbox

for number in itertools.count():
    open(f"/tmp/{number}", "w").close()
