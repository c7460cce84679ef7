"""Computes without end."""

import attempt  # noqa: F401 - ends this script outside a sandbox

while True:
    pass
