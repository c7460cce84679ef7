"""Deep Match to Rank (Lyu et al., AAAI 2020), and the two methods it is compared with here.

Two networks tell how an item suits a user, and a third ranks on what they say:

- *user to item* (section 3.3): attention over the history with the position of each step as the query gives the user's
  vector u; the relevance is its inner product with the item's own vector v'. The step before last is made to predict
  the last one (the auxiliary match network).
- *item to item* (section 3.4): attention with the item and the position as the query; the relevance is the sum of the
  unnormalised weights, and the weighted sum is the user's interest.

Shape legend: B examples, T steps of the history (the newest last), F fields of a step, E width of a step's embeddings,
M width of the matching vectors, S sampled classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import paddle
from paddle import Tensor, nn
from paddle.nn import functional as F

from fuxian.papers.dmr.loss import full_logits, sampled_logits
from fuxian.papers.dmr.settings import Field, Layout, Variant

MASKED = float(-(2**32) + 1)
"""Score of a step that is none; the official code's number."""


class Example(NamedTuple):
    """The inputs of a model, in this order. Integers are int64.

    In training three more may follow: the sampled classes [S], and the logarithms of how often the sampler was to draw
    the right class of each example [B] and each sampled class [S].
    """

    history_BTF: Tensor
    """Behaviour and fields of each step; a history shorter than T begins with zeros."""
    mask_BT: Tensor
    """1 where there is a step, 0 before the first."""
    before_B: Tensor
    """1 where the step before last is one, 0 else: column -2 of the official ``match_mask``."""
    user_BF: Tensor
    target_BF: Tensor
    """The item's fields, then the context's."""
    numbers_BN: Tensor


Outputs = dict[str, Tensor]
"""``click`` [B], the logit of a click; ``u2i`` [B] and ``i2i`` [B], the relevances, where the variant has their
network; in training of the former ``match`` [B, 1 + S or C], logits of the last step (class 0 of the sampled, or its
own number among all)."""


class PReLU(nn.Layer):
    """A slope for each channel of the last dimension, 0.1 at first, as the official code has it."""

    def __init__(self, channels: int):
        super().__init__()
        self.slope = self.create_parameter([channels], default_initializer=nn.initializer.Constant(0.1))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x) - self.slope * F.relu(-x)


class Embeddings(nn.Layer):
    """A table for each field, joined in their order."""

    def __init__(self, fields: Sequence[Field]):
        super().__init__()
        self.tables = nn.LayerList([table(field.values, field.width) for field in fields])

    def forward(self, ids: Tensor) -> list[Tensor]:
        """The embeddings of ids [..., F], field by field."""
        return [one(ids[..., place]) for place, one in enumerate(self.tables)]


def table(values: int, width: int) -> nn.Embedding:
    """Glorot's uniform distribution, TensorFlow's default for a variable."""
    return nn.Embedding(values, width, weight_attr=nn.initializer.XavierUniform())


def layers(sizes: Sequence[int], activation: type[nn.Layer] | None) -> nn.Sequential:
    """Linear layers with an activation (a PReLU where None is given) after all but the last."""
    made: list[nn.Layer] = []
    for below, above in pairwise(sizes):
        made += [nn.Linear(below, above), PReLU(above) if activation is None else activation()]
    return nn.Sequential(*made[:-1])


class Scores(nn.Layer):
    """How much each step of the history matters to a query, not normalised: the network of equations 3 and 11."""

    def __init__(self, query: int, layout: Layout):
        super().__init__()
        width = layout.step_width
        self.align = nn.Linear(query, width)
        self.bend = PReLU(width)
        self.network = layers([4 * width, *layout.attention, 1], nn.Sigmoid)

    def forward(self, query_BTQ: Tensor, steps_BTE: Tensor) -> Tensor:
        """Scores [B, T]."""
        query_BTE = self.bend(self.align(query_BTQ))
        both = [query_BTE, steps_BTE, query_BTE - steps_BTE, query_BTE * steps_BTE]
        return self.network(paddle.concat(both, -1)).squeeze(-1)


class Context(nn.Layer):
    """Position and behaviour of each step [B, T, 2 * small]; equation 3's query."""

    def __init__(self, layout: Layout):
        super().__init__()
        self.position = table(layout.steps, layout.small)
        self.behaviour = table(layout.behaviours, layout.small)

    def forward(self, behaviours_BT: Tensor) -> Tensor:
        behaviour = self.behaviour(behaviours_BT)
        position = self.position.weight.unsqueeze(0).expand_as(behaviour)
        return paddle.concat([position, behaviour], -1)


class UserToItem(nn.Layer):
    """The user-to-item network, with the vectors v' of all classes that the history's next step can have."""

    def __init__(self, layout: Layout):
        super().__init__()
        matched = layout.field(layout.matched)
        self.context = Context(layout)
        self.scores = Scores(2 * layout.small, layout)
        self.user = nn.Linear(layout.step_width, matched.width)
        self.bend = PReLU(matched.width)
        self.vectors = table(matched.values, matched.width)

    def forward(self, behaviours_BT: Tensor, steps_BTE: Tensor, real_BT: Tensor) -> tuple[Tensor, Tensor]:
        """The user's vector after the last step [B, M], equation 5, and after the one before it [B, M].

        The official code computes one for each step with a triangular mask; these two are all that it uses.
        """
        scores_BT = masked(self.scores(self.context(behaviours_BT), steps_BTE), real_BT)
        none_B1 = paddle.full_like(scores_BT[:, :1], MASKED)
        before_BT = paddle.concat([scores_BT[:, :-1], none_B1], 1)
        weights_B2T = F.softmax(paddle.stack([scores_BT, before_BT], 1), -1)
        users_B2M = self.bend(self.user(weights_B2T @ steps_BTE))
        return users_B2M[:, 0], users_B2M[:, 1]


class ItemToItem(nn.Layer):
    """The item-to-item network; without ``context`` the query is the item alone, as in DIN."""

    def __init__(self, layout: Layout, context: bool = True):
        super().__init__()
        self.context = Context(layout) if context else None
        self.scores = Scores(layout.step_width + 2 * layout.small * context, layout)

    def forward(
        self, item_BE: Tensor, behaviours_BT: Tensor, steps_BTE: Tensor, real_BT: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The relevance [B], equation 12, and the user's interest [B, E]."""
        query = item_BE.unsqueeze(1).expand_as(steps_BTE)
        if self.context is not None:
            query = paddle.concat([query, self.context(behaviours_BT)], -1)
        scores_BT = self.scores(query, steps_BTE)
        relevance_B = paddle.where(real_BT, scores_BT, paddle.zeros_like(scores_BT)).sum(1)
        weights_B1T = F.softmax(masked(scores_BT, real_BT), -1).unsqueeze(1)
        return relevance_B, (weights_B1T @ steps_BTE).squeeze(1)


class DMR(nn.Layer):
    """Equation 14: embeddings, interest and relevances into one network. DIN is ``variant="din"``.

    Batch normalisation has TensorFlow's numbers. In evaluation it takes the running ones, which the official code
    does not, so that an example's score does not depend on its neighbours.
    """

    def __init__(self, layout: Layout, variant: Variant = "dmr"):
        super().__init__()
        self.layout = layout
        self.user = Embeddings(layout.user)
        self.item = Embeddings(layout.item)
        self.contexts = Embeddings(layout.context) if layout.context else None
        self.u2i = UserToItem(layout) if variant in ("dmr", "u2i") else None
        self.i2i = ItemToItem(layout, variant != "din") if variant in ("dmr", "i2i", "din") else None
        self.says_i2i = variant != "din"
        width = layout.numbers + 2 * layout.step_width
        width += sum(field.width for field in (*layout.user, *layout.item, *layout.context))
        self.columns = {"u2i": width, "i2i": width + (self.u2i is not None)}
        width += (self.u2i is not None) + (self.i2i is not None) * (layout.step_width + self.says_i2i)
        self.norm = nn.BatchNorm1D(width, momentum=0.99, epsilon=1e-3)
        self.network = layers([width, *layout.hidden, 1], None)

    def forward(self, *inputs: Tensor) -> Outputs:
        """``inputs``: an Example's; with the samples after it the match is among them, else among all classes."""
        seen, found = self.features(*inputs)
        return {"click": self.rank(seen), **found}

    def rank(self, seen_BD: Tensor) -> Tensor:
        """The logit of a click [B]."""
        return self.network(self.norm(seen_BD)).squeeze(1)

    def features(self, *inputs: Tensor) -> tuple[Tensor, Outputs]:
        """All that the ranking network sees [B, D], the relevances in their ``columns``, and the other outputs."""
        found: Outputs = {}
        example, samples = Example(*inputs[:6]), inputs[6:]
        behaviours_BT, history_BTF = example.history_BTF[..., 0], example.history_BTF[..., 1:]
        real_BT = example.mask_BT == 1
        count = len(self.layout.item)
        item = self.item(example.target_BF[:, :count])
        tables = [self.item.tables[place] for place in self.layout.places]
        steps_BTE = paddle.concat([one(history_BTF[..., at]) for at, one in enumerate(tables)], -1)
        item_BE = paddle.concat([item[place] for place in self.layout.places], -1)
        summed_BE = steps_BTE.sum(1)
        seen = [*self.user(example.user_BF), *item, example.numbers_BN]
        if self.contexts is not None:
            seen += self.contexts(example.target_BF[:, count:])
        seen += [summed_BE, item_BE * summed_BE]
        if self.u2i is not None:
            user_BM, before_BM = self.u2i(behaviours_BT, steps_BTE, real_BT)
            at = self.layout.history.index(self.layout.matched)
            vector_BM = self.u2i.vectors(example.target_BF[:, self.layout.places[at]])
            found["u2i"] = (user_BM * vector_BM).sum(-1)
            seen.append(found["u2i"].unsqueeze(1))
            if self.training:
                before_BM = before_BM * example.before_B.astype(before_BM.dtype).unsqueeze(1)
                vectors, next_B = self.u2i.vectors.weight, history_BTF[:, -1, at]
                found["match"] = (
                    sampled_logits(before_BM, vectors, next_B, *samples)
                    if samples
                    else full_logits(before_BM, vectors)
                )
        if self.i2i is not None:
            relevance_B, interest_BE = self.i2i(item_BE, behaviours_BT, steps_BTE, real_BT)
            if self.says_i2i:
                found["i2i"] = relevance_B
                seen.append(relevance_B.unsqueeze(1))
            seen.append(interest_BE)
        return paddle.concat(seen, -1), found


class LogisticRegression(nn.Layer):
    """Linear in user, item, context, numbers and the ids of the history, and in the paper's cross-product of the last
    behaviour with the item's field of that kind."""

    def __init__(self, layout: Layout):
        super().__init__()
        self.layout = layout
        fields = (*layout.user, *layout.item, *layout.context)
        self.one = nn.LayerList([nn.Embedding(field.values, 1) for field in fields])
        self.past = nn.LayerList([nn.Embedding(layout.field(name).values, 1) for name in layout.history])
        self.linear = nn.Linear(layout.numbers + len(layout.history), 1)

    def forward(self, *inputs: Tensor) -> Outputs:
        example = Example(*inputs[:6])
        ids = paddle.concat([example.user_BF, example.target_BF], 1)
        logit_B1 = sum(one(ids[:, place]) for place, one in enumerate(self.one))
        real_BT = example.mask_BT == 1
        same = []
        for at, place in enumerate(self.layout.places):
            own_BT = example.history_BTF[..., at + 1]
            past_BT = self.past[at](own_BT).squeeze(-1)
            logit_B1 += (past_BT * real_BT.astype(past_BT.dtype)).sum(1, keepdim=True)
            target_B1 = example.target_BF[:, place].unsqueeze(1)
            same.append(((own_BT == target_B1) & real_BT).sum(1, keepdim=True))
        said = paddle.concat([example.numbers_BN, *(one.astype(logit_B1.dtype) for one in same)], 1)
        return {"click": (logit_B1 + self.linear(said)).squeeze(1)}


def masked(scores_BT: Tensor, real_BT: Tensor) -> Tensor:
    """Scores with ``MASKED`` where there is no step."""
    return paddle.where(real_BT, scores_BT, paddle.full_like(scores_BT, MASKED))


def network_of(layout: Layout, variant: Variant) -> nn.Layer:
    """The network of a variant."""
    return LogisticRegression(layout) if variant == "lr" else DMR(layout, variant)
