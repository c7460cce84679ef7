"""Leaves very many small results."""

import attempt  # noqa: F401 - ends this script outside a sandbox

for number in range(1500):
    open(f"/out/{number}", "w").close()
