"""Public data sets: find, download, check, read."""

from fuxian.datasets.root import find_root

__all__ = ["find_root"]
