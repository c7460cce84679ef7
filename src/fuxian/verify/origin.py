"""Are the submitted weights somebody else's? They are compared with those that the organiser knows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fuxian.errors import InputError, PlatformError
from fuxian.submission.checklist.weights_origin import MANY, share_of_reference
from fuxian.verify.entrant_weights import load_weights
from fuxian.verify.reasons import Failed, Reason
from fuxian.verify.terms import Terms
from fuxian.weights import load_tensors


@dataclass(frozen=True)
class Origin:
    """What the comparison said."""

    status: Literal["pass"]
    detail: str
    shares: dict[str, float]
    """By known file: the share of the submitted elements in tensors near to one of its."""

    def as_dict(self) -> dict[str, Any]:
        return {"status": self.status, "detail": self.detail, "shares": self.shares}


def origin(weights: Path, terms: Terms) -> Origin:
    """Raises Failed for weights that are known ones, and InputError for weights that cannot be read."""
    tensors = load_weights(weights)
    shares = {}
    for name, file in zip(terms.known_weights, terms.known_files, strict=True):
        try:
            known = load_tensors(file)
        except InputError as error:
            raise PlatformError(f"the terms' known weights cannot be read: {error}") from error
        shares[name] = share_of_reference(tensors, known)
        if shares[name] >= MANY:
            raise Failed(
                Reason.CONVERTED_WEIGHTS, f"{100 * shares[name]:.0f} % of the weights are those of {name}."
            )
    compared = f"compared with {len(shares)} known files" if shares else "the terms name no known weights"
    return Origin("pass", compared, shares)
