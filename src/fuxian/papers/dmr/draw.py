"""The drawn test of a ruling: the same people and days, other movies that they did not take, in another order.

Who rated what is published, so that a ruling on it rests on the claim's being about the procedure: the networks that
predict are trained anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from fuxian.errors import InputError
from fuxian.papers.dmr.data import TestBatches, clicks
from fuxian.papers.dmr.settings import MOVIES
from fuxian.recipe import Batch

PUBLIC_LABELS = ("movielens",)


def draw(claim: str, seed: int) -> Sequence[Batch]:
    """The test with movies not taken of this seed; a unit is a user. Raises InputError for the paper's own rows."""
    if claim != "movielens":
        raise InputError(f"dmr/{claim} has one official test file and nothing to draw; take dmr/movielens.")
    # The public test's seed is a small number: a hash keeps the streams apart.
    digest = hashlib.sha256(f"{claim} {seed}".encode()).digest()
    return TestBatches(clicks(MOVIES.layout), "test", int.from_bytes(digest[:8], "big"))
