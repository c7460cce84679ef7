"""Text of others, safe to show: no control character, nothing that steers a terminal or reorders what is read."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with everything that a terminal, a page or JSON could trip over replaced."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
