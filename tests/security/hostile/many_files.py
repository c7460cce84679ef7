"""Makes empty files without end: they take no space, but each takes memory of the kernel."""

import itertools

for number in itertools.count():
    open(f"/tmp/{number}", "w").close()
