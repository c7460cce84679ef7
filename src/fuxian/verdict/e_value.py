"""E-values for examples that are right or wrong and can be drawn without end: look as often as you like.

A bound at 5 % holds for one look. An e-value may be looked at after every example, and drawing may stop whenever it
says enough: a port at the edge brings it to 1 / alpha with a probability of at most alpha, at any time (Ville 1939;
Grünwald, de Heide and Koolen 2024).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fuxian.errors import InputError


@dataclass(frozen=True)
class EValues:
    """Evidence in favour of each word; at 1 / alpha and beyond, that word may be said."""

    accepting: float
    """Against "worse than the target by the margin or more"."""
    rejecting: float
    """Against "worse by no more than the margin"."""


def e_values(right: int, wrong: int, edge: float) -> EValues:
    """Evidence from so many right and wrong examples for a share of right ones above and below ``edge``.

    The likelihood of the share's values on the side in question, averaged evenly, over that of the edge. ``edge`` is
    target - margin of an accuracy. Raises InputError for counts or an edge that cannot be.
    """
    if right < 0 or wrong < 0 or not 0 < edge < 1:
        raise InputError(
            f"e-values need counts of 0 or more and an edge between 0 and 1, not {right}, {wrong} and {edge}."
        )
    return EValues(_above(right, wrong, edge), _above(wrong, right, 1 - edge))


def _above(right: int, wrong: int, edge: float) -> float:
    from scipy.special import betaincc, betaln

    # The mean over shares in (edge, 1) of share^right (1 - share)^wrong is an incomplete beta function.
    above = float(betaincc(right + 1, wrong + 1, edge))
    if above == 0:
        return 0.0
    mean = float(betaln(right + 1, wrong + 1)) + math.log(above) - math.log1p(-edge)
    at_edge = right * math.log(edge) + wrong * math.log1p(-edge)
    # exp overflows beyond 700, where no alpha asks any more.
    return math.exp(min(mean - at_edge, 700.0))
