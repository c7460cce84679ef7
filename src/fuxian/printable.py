"""Text of others, safe to show: no control character, nothing that steers a terminal or reorders what is read."""

from __future__ import annotations


def why_no_picture(error: Exception) -> str:
    """Why Pillow could not read a picture, without the address of what it was given."""
    return "the bytes are none" if "cannot identify image file" in str(error) else printable(str(error))


def printable(text: str) -> str:
    """The text with everything that a terminal, a page or JSON could trip over replaced."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
