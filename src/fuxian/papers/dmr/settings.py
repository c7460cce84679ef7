"""The fields of each data set, the networks' sizes, and each experiment's numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Variant = Literal["dmr", "u2i", "i2i", "din", "lr"]
"""The whole model; with either network alone (the paper's table 2); the compared methods (table 1)."""
Sampler = Literal["learned-unigram", "log-uniform"]


@dataclass(frozen=True)
class Field:
    """A categorical column: its ids are 0 to ``values`` - 1, each embedded in ``width`` numbers."""

    name: str
    values: int
    width: int


@dataclass(frozen=True)
class Layout:
    """What an example consists of, and the widths of the networks that read it.

    ``history`` names the item's fields that each step of the history has too, in the same embeddings; ``matched`` is
    the one of them that the user-to-item network predicts. ``behaviours``: kinds of a step (click, cart, ...), 0 for
    none. ``numbers``: numeric columns of the item, such as its price.
    """

    user: tuple[Field, ...]
    item: tuple[Field, ...]
    context: tuple[Field, ...]
    history: tuple[str, ...]
    matched: str
    behaviours: int
    numbers: int
    steps: int
    small: int = 8
    """Width of the embeddings of a step's position and behaviour."""
    attention: tuple[int, ...] = (80, 40)
    hidden: tuple[int, ...] = (512, 256, 128)

    def field(self, name: str) -> Field:
        """The item's field of that name."""
        return next(field for field in self.item if field.name == name)

    @property
    def places(self) -> tuple[int, ...]:
        """Where the history's fields stand among the item's."""
        names = [field.name for field in self.item]
        return tuple(names.index(name) for name in self.history)

    @property
    def step_width(self) -> int:
        """Width of one step's embeddings, and of the item's in the same fields."""
        return sum(self.field(name).width for name in self.history)


ALIMAMA = Layout(
    user=(
        Field("uid", 1_141_730, 32),
        Field("cms_segid", 97, 8),
        Field("cms_group_id", 13, 8),
        Field("final_gender_code", 3, 8),
        Field("age_level", 7, 8),
        Field("pvalue_level", 4, 8),
        Field("shopping_level", 4, 8),
        Field("occupation", 3, 8),
        Field("new_user_class_level", 5, 8),
    ),
    item=(
        Field("adgroup_id", 846_812, 32),
        Field("cate_id", 12_978, 32),
        Field("brand", 461_529, 32),
        Field("campaign_id", 423_437, 32),
        Field("customer", 255_876, 32),
    ),
    context=(Field("pid", 2, 8),),
    history=("cate_id", "brand"),
    matched="cate_id",
    behaviours=5,
    numbers=1,
    steps=50,
)
"""The Alimama data as the official code has them: 101.4 million parameters, most of them embeddings of ids."""

MOVIELENS = Layout(
    user=(Field("gender", 2, 8), Field("age", 7, 8), Field("occupation", 21, 8)),
    item=(Field("movie", 1_683, 16), Field("genres", 217, 8)),
    context=(),
    history=("movie", "genres"),
    matched="movie",
    behaviours=6,
    numbers=1,
    steps=20,
    small=8,
    attention=(32, 16),
    hidden=(64, 32),
)
"""MovieLens 100k: no user's id, for four of five users of the test came after the training."""


@dataclass(frozen=True)
class Setting:
    """An experiment. ``sampled`` classes stand against the right one in the auxiliary loss; None: all of them."""

    layout: Layout
    variant: Variant = "dmr"
    beta: float = 0.1
    """Weight of the auxiliary loss, equation 9."""
    sampled: int | None = None
    sampler: Sampler = "learned-unigram"
    batch: int = 256
    learning_rate: float = 1e-3


PAPER = {
    "alimama": Setting(ALIMAMA, sampled=2000),
    "alimama-u2i": Setting(ALIMAMA, "u2i", sampled=2000),
    "alimama-i2i": Setting(ALIMAMA, "i2i"),
    "alimama-no-match-loss": Setting(ALIMAMA, beta=0.0),
}
"""The paper's own rows, by the claims' ids."""

MOVIES = Setting(MOVIELENS)


def narrow(layout: Layout) -> Layout:
    """The same fields with few ids and narrow layers, for what must be small: an alignment, a test."""

    def few(fields: tuple[Field, ...]) -> tuple[Field, ...]:
        return tuple(replace(field, values=min(field.values, 30), width=4) for field in fields)

    return replace(
        layout,
        user=few(layout.user),
        item=few(layout.item),
        context=few(layout.context),
        steps=6,
        small=3,
        attention=(6, 5),
        hidden=(8, 6),
    )
