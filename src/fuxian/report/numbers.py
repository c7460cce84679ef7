"""How figures are written in a report: as many digits as their uncertainty allows."""

import math

NBSP = "\u00a0"
"""The no-break space: a figure with its interval and unit stays in one line."""


def format_figure(value: float | None, spread: float | None = None, *, percent: bool = False) -> str:
    """`value` with digits down to two significant digits of `spread`, e.g. an interval's half-width.

    Without a usable spread it has four significant digits. `percent` shows a fraction in per cent. A missing
    value is a dash and one that is not finite its name, so that neither is mistaken for a number.
    """
    return _with_unit(_digits(value, spread, percent), value, percent)


def format_spread(value: float, half: float, *, percent: bool = False) -> str:
    """`value ± half`, both with the digits of the half-width."""
    return _with_unit(
        f"{_digits(value, half, percent)}{NBSP}±{NBSP}{_digits(half, half, percent)}", value, percent
    )


def format_interval(ends: tuple[float, float] | None, *, percent: bool = False) -> str:
    """`[low, high]` with digits after the interval's own width; a dash when there is none."""
    if ends is None:
        return "–"
    low, high = (_digits(end, half_width(ends), percent) for end in ends)
    return _with_unit(f"[{low},{NBSP}{high}]", ends[0], percent)


def half_width(ends: tuple[float, float] | None) -> float | None:
    """Half the length of an interval, or None when there is none."""
    return None if ends is None else (ends[1] - ends[0]) / 2


def _digits(value: float | None, spread: float | None, percent: bool) -> str:
    if value is None:
        return "–"
    if not math.isfinite(value):
        return str(value)
    scale = 100 if percent else 1
    if spread and math.isfinite(spread):
        decimals = 1 - math.floor(math.log10(abs(scale * spread)))
        if decimals <= 8 and abs(value) < 1e9:
            return f"{scale * value:.{max(decimals, 0)}f}"
    return f"{scale * value:.4g}"


def _with_unit(text: str, value: float | None, percent: bool) -> str:
    return f"{text}{NBSP}%" if percent and value is not None and math.isfinite(value) else text


def format_seconds(seconds: float) -> str:
    """A duration as people read it: ms below a second, then s, min and h."""
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    if seconds < 7200:
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3600:.3g} h"


def format_bytes(size: int) -> str:
    """A file's size in bytes, kB or MB (powers of 1000)."""
    for unit, factor in (("MB", 1_000_000), ("kB", 1000)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size} B"
