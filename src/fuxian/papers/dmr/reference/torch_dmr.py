"""DMR in PyTorch, layer for layer the counterpart of the port's model.py."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuxian.papers.dmr.settings import Field, Layout, Variant

MASKED = float(-(2**32) + 1)
HIT = torch.finfo(torch.float32).min


class PReLU(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.slope = nn.Parameter(torch.full((channels,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x) - self.slope * F.relu(-x)


def table(values: int, width: int) -> nn.Embedding:
    made = nn.Embedding(values, width)
    nn.init.xavier_uniform_(made.weight)
    return made


def linear(below: int, above: int) -> nn.Linear:
    made = nn.Linear(below, above)
    nn.init.xavier_uniform_(made.weight)
    nn.init.zeros_(made.bias)
    return made


class Embeddings(nn.Module):
    def __init__(self, fields: Sequence[Field]):
        super().__init__()
        self.tables = nn.ModuleList([table(field.values, field.width) for field in fields])

    def forward(self, ids: Tensor) -> list[Tensor]:
        return [one(ids[..., place]) for place, one in enumerate(self.tables)]


def layers(sizes: Sequence[int], activation: type[nn.Module] | None) -> nn.Sequential:
    made: list[nn.Module] = []
    for below, above in pairwise(sizes):
        made += [linear(below, above), PReLU(above) if activation is None else activation()]
    return nn.Sequential(*made[:-1])


class Scores(nn.Module):
    def __init__(self, query: int, layout: Layout):
        super().__init__()
        width = layout.step_width
        self.align = linear(query, width)
        self.bend = PReLU(width)
        self.network = layers([4 * width, *layout.attention, 1], nn.Sigmoid)

    def forward(self, query: Tensor, steps: Tensor) -> Tensor:
        query = self.bend(self.align(query))
        return self.network(torch.cat([query, steps, query - steps, query * steps], -1)).squeeze(-1)


class Context(nn.Module):
    def __init__(self, layout: Layout):
        super().__init__()
        self.position = table(layout.steps, layout.small)
        self.behaviour = table(layout.behaviours, layout.small)

    def forward(self, behaviours: Tensor) -> Tensor:
        behaviour = self.behaviour(behaviours)
        return torch.cat([self.position.weight.unsqueeze(0) + torch.zeros_like(behaviour), behaviour], -1)


class UserToItem(nn.Module):
    def __init__(self, layout: Layout):
        super().__init__()
        matched = layout.field(layout.matched)
        self.context = Context(layout)
        self.scores = Scores(2 * layout.small, layout)
        self.user = linear(layout.step_width, matched.width)
        self.bend = PReLU(matched.width)
        self.vectors = table(matched.values, matched.width)

    def forward(self, behaviours: Tensor, steps: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.scores(self.context(behaviours), steps).masked_fill(~real, MASKED)
        before = torch.cat([scores[:, :-1], torch.full_like(scores[:, :1], MASKED)], 1)
        users = self.bend(self.user(torch.stack([scores, before], 1).softmax(-1) @ steps))
        return users[:, 0], users[:, 1]


class ItemToItem(nn.Module):
    def __init__(self, layout: Layout, context: bool = True):
        super().__init__()
        self.context = Context(layout) if context else None
        self.scores = Scores(layout.step_width + 2 * layout.small * context, layout)

    def forward(self, item: Tensor, behaviours: Tensor, steps: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        query = item.unsqueeze(1) + torch.zeros_like(steps)
        if self.context is not None:
            query = torch.cat([query, self.context(behaviours)], -1)
        scores = self.scores(query, steps)
        weights = scores.masked_fill(~real, MASKED).softmax(-1).unsqueeze(1)
        return torch.where(real, scores, torch.zeros_like(scores)).sum(1), (weights @ steps).squeeze(1)


class DMR(nn.Module):
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
        width += (self.u2i is not None) + (self.i2i is not None) * (layout.step_width + self.says_i2i)
        self.norm = nn.BatchNorm1d(width, momentum=0.01, eps=1e-3)
        self.network = layers([width, *layout.hidden, 1], None)

    def forward(self, *inputs: Tensor) -> dict[str, Tensor]:
        history, mask, before, user, target, numbers, *samples = inputs
        found: dict[str, Tensor] = {}
        behaviours, fields, real = history[..., 0], history[..., 1:], mask == 1
        count, places = len(self.layout.item), self.layout.places
        item = self.item(target[:, :count])
        steps = torch.cat([self.item.tables[place](fields[..., at]) for at, place in enumerate(places)], -1)
        own = torch.cat([item[place] for place in places], -1)
        summed = steps.sum(1)
        seen = [*self.user(user), *item, numbers]
        if self.contexts is not None:
            seen += self.contexts(target[:, count:])
        seen += [summed, own * summed]
        if self.u2i is not None:
            last, earlier = self.u2i(behaviours, steps, real)
            at = self.layout.history.index(self.layout.matched)
            found["u2i"] = (last * self.u2i.vectors(target[:, places[at]])).sum(-1)
            seen.append(found["u2i"].unsqueeze(1))
            if self.training:
                earlier = earlier * before.to(earlier.dtype).unsqueeze(1)
                found["match"] = match(self.u2i.vectors.weight, earlier, fields[:, -1, at], *samples)
        if self.i2i is not None:
            relevance, interest = self.i2i(own, behaviours, steps, real)
            if self.says_i2i:
                found["i2i"] = relevance
                seen.append(relevance.unsqueeze(1))
            seen.append(interest)
        return {"click": self.network(self.norm(torch.cat(seen, -1))).squeeze(1), **found}


def match(vectors: Tensor, user: Tensor, right: Tensor, *samples: Tensor) -> Tensor:
    """The logits of the auxiliary loss, of all classes or of the right and the sampled ones."""
    if not samples:
        return user @ vectors.T
    sampled, q_right, q_sampled = samples
    own = (user * vectors[right]).sum(1, keepdim=True) - q_right.unsqueeze(1)
    others = user @ vectors[sampled].T - q_sampled
    hits = (right.unsqueeze(1) == sampled).to(others.dtype)
    return torch.cat([own, others + HIT * hits], 1)


class LogisticRegression(nn.Module):
    def __init__(self, layout: Layout):
        super().__init__()
        self.layout = layout
        fields = (*layout.user, *layout.item, *layout.context)
        self.one = nn.ModuleList([nn.Embedding(field.values, 1) for field in fields])
        self.past = nn.ModuleList([nn.Embedding(layout.field(name).values, 1) for name in layout.history])
        self.linear = linear(layout.numbers + len(layout.history), 1)
        for one in (*self.one, *self.past):
            nn.init.zeros_(one.weight)

    def forward(self, *inputs: Tensor) -> dict[str, Tensor]:
        history, mask, _, user, target, numbers = inputs[:6]
        ids, real = torch.cat([user, target], 1), mask == 1
        logit = sum(one(ids[:, place]) for place, one in enumerate(self.one))
        same = []
        for at, place in enumerate(self.layout.places):
            own = history[..., at + 1]
            logit = logit + (self.past[at](own).squeeze(-1) * real).sum(1, keepdim=True)
            same.append(((own == target[:, place].unsqueeze(1)) & real).sum(1, keepdim=True))
        said = torch.cat([numbers, *(one.to(logit.dtype) for one in same)], 1)
        return {"click": (logit + self.linear(said)).squeeze(1)}


def network_of(layout: Layout, variant: Variant) -> nn.Module:
    return LogisticRegression(layout) if variant == "lr" else DMR(layout, variant)


def match_loss(logits: Tensor, right: Tensor) -> Tensor:
    return F.cross_entropy(logits, right)


def click_loss(logit: Tensor, click: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logit, click.to(logit.dtype))
