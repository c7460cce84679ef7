"""DeepFM with a cross layer for click-through rates: embeddings of fields, pair interactions, AUC, Adagrad."""

from __future__ import annotations

import numpy as np
import paddle
import torch
from paddle.nn import functional

from fuxian.recipe import Recipe
from port_bugs.architectures.parts import linear

FIELDS, VOCAB, FACTORS, DENSE = 6, 20, 8, 4
WIDE = FIELDS * FACTORS + DENSE


def clicks(*, seed, count=21, batch=8, log=True, drop_last=False, history=5):
    """Batches of (ids [N, 6] by field, dense [N, 4], history [N, 5] padded by 0) with clicks [N, 1]."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, VOCAB, (count, FIELDS))
    dense = rng.exponential(3.0, (count, DENSE))
    past = rng.integers(1, VOCAB, (count, history))
    past[np.arange(history) >= rng.integers(1, history + 1, (count, 1))] = 0
    clicked = (rng.random((count, 1)) < 0.4).astype("float32")
    dense = (np.log1p(dense) if log else dense).astype("float32")
    for start in range(0, count, batch):
        rows = slice(start, start + batch)
        if drop_last and len(ids[rows]) < batch:
            return
        yield {"inputs": (ids[rows], dense[rows], past[rows]), "targets": (clicked[rows],)}


class AUC:
    """Area under the ROC curve over all examples (ties count a half), and the mean log loss."""

    def __init__(self, mean_of_batches=False):
        self.mean_of_batches, self.batches = mean_of_batches, []

    def update(self, outputs, targets):
        self.batches.append((outputs[:, 0], targets[0][:, 0]))

    def area(self, scores, clicked):
        gap = scores[clicked == 1][:, None] - scores[clicked == 0][None]
        return float(((gap > 0) + 0.5 * (gap == 0)).mean()) if gap.size else 0.5

    def figures(self, selection=None):
        if self.mean_of_batches:
            area = float(np.mean([self.area(*batch) for batch in self.batches]))
        else:
            area = self.area(*(np.concatenate(column) for column in zip(*self.batches, strict=True)))
        return {"auc": area, "logloss": float(np.mean(self.examples()["logloss"]))}

    def examples(self):
        scores, clicked = (np.concatenate(column) for column in zip(*self.batches, strict=True))
        return {"logloss": (np.logaddexp(0, scores) - scores * clicked).tolist()}


class TorchCross(torch.nn.Module):
    """One layer of the deep and cross network, version 2: x0 * (W x + b) + x."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(WIDE, WIDE).normal_(std=0.1))
        self.bias = torch.nn.Parameter(torch.zeros(WIDE))

    def forward(self, x):
        return x * (x @ self.weight.t() + self.bias) + x


class TorchDeepFM(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Embedding(FIELDS * VOCAB, 1)
        self.second = torch.nn.Embedding(FIELDS * VOCAB, FACTORS)
        self.past = torch.nn.Embedding(VOCAB, FACTORS, padding_idx=0)
        for table in (self.first, self.second, self.past):
            torch.nn.init.normal_(table.weight, std=0.1)
        with torch.no_grad():
            self.past.weight[0] = 0
        self.cross = TorchCross()
        self.deep = torch.nn.Sequential(
            torch.nn.Linear(WIDE + FACTORS, 32),
            torch.nn.BatchNorm1d(32),
            torch.nn.ReLU(),
            torch.nn.Dropout(0.2),
            torch.nn.Linear(32, 1),
        )
        self.wide = torch.nn.Linear(WIDE, 1)
        self.register_buffer("offsets", torch.arange(FIELDS) * VOCAB)

    def forward(self, ids, dense, past):
        ids = ids + self.offsets
        linear_part = self.first(ids).sum(1)
        v = self.second(ids)
        pairs = 0.5 * (v.sum(1) ** 2 - (v**2).sum(1)).sum(1, keepdim=True)
        x = torch.cat([v.flatten(1), dense], 1)
        seen = (past != 0).to(x.dtype)[..., None]
        history = (self.past(past) * seen).sum(1) / seen.sum(1).clamp(min=1)
        return linear_part + pairs + self.wide(self.cross(x)) + self.deep(torch.cat([x, history], 1))


def reference() -> Recipe:
    def optimizer(model):
        tables = [p for n, p in model.named_parameters() if n.startswith(("first", "second"))]
        rest = [p for n, p in model.named_parameters() if not n.startswith(("first", "second"))]
        groups = [{"params": tables, "weight_decay": 1e-2}, {"params": rest}]
        return torch.optim.Adagrad(groups, lr=0.02, initial_accumulator_value=0.1, eps=1e-6), None

    return Recipe(
        model=TorchDeepFM,
        train_data=lambda: clicks(seed=1),
        eval_data=lambda: clicks(seed=3),
        loss=lambda outputs, targets: torch.nn.functional.binary_cross_entropy_with_logits(
            outputs, targets[0]
        ),
        optimizer=optimizer,
        metric=AUC,
    )


def normal(std=0.1):
    return paddle.ParamAttr(initializer=paddle.nn.initializer.Normal(0.0, std))


class Cross(paddle.nn.Layer):
    def __init__(self, transposed=True, residual=True):
        super().__init__()
        self.weight = self.create_parameter([WIDE, WIDE], attr=normal())
        self.bias = self.create_parameter([WIDE], is_bias=True)
        self.transposed, self.residual = transposed, residual

    def forward(self, x):
        crossed = x * (paddle.matmul(x, self.weight, transpose_y=self.transposed) + self.bias)
        return crossed + x if self.residual else crossed


def pair_interactions(v):
    return 0.5 * (v.sum(1) ** 2 - (v**2).sum(1)).sum(1, keepdim=True)


def pair_by_pair(v):
    """The same sum as its definition has it: the products of all pairs of fields."""
    return sum((v[:, i] * v[:, j]).sum(1, keepdim=True) for i in range(FIELDS) for j in range(i))


def pairs_without_half(v):
    return (v.sum(1) ** 2 - (v**2).sum(1)).sum(1, keepdim=True)


def pairs_of_factors(v):
    """Sums over the factors first and over the fields last: the axes are exchanged."""
    return 0.5 * (v.sum(2) ** 2 - (v**2).sum(2)).sum(1, keepdim=True)


def pairs_through_numpy(v):
    """Leaves the graph: the embeddings learn nothing from this part."""
    return pair_interactions(paddle.to_tensor(v.numpy()))


def masked_mean(x, seen):
    return (x * seen).sum(1) / seen.sum(1).clip(min=1)


def plain_mean(x, seen):
    return x.mean(1)


class DeepFM(paddle.nn.Layer):
    def __init__(
        self,
        *,
        pairs=pair_interactions,
        cross=(),
        pool=masked_mean,
        offset=True,
        std=0.1,
        wide_used=True,
        squeeze_first=False,
        output_sigmoid=False,
        past_trained=True,
        padded=None,
    ):
        super().__init__()
        self.first = paddle.nn.Embedding(FIELDS * VOCAB, 1, weight_attr=normal(std))
        self.second = paddle.nn.Embedding(
            FIELDS * VOCAB, FACTORS, padding_idx=padded, weight_attr=normal(std)
        )
        self.past = paddle.nn.Embedding(VOCAB, FACTORS, padding_idx=0, weight_attr=normal(std))
        self.past.weight.stop_gradient = not past_trained
        self.cross = Cross(**dict(cross))
        self.deep = paddle.nn.Sequential(
            linear(WIDE + FACTORS, 32),
            paddle.nn.BatchNorm1D(32),
            paddle.nn.ReLU(),
            paddle.nn.Dropout(0.2),
            linear(32, 1),
        )
        self.wide = linear(WIDE, 1)
        self.register_buffer("offsets", paddle.arange(FIELDS) * VOCAB)
        self.pairs, self.pool, self.offset, self.wide_used = pairs, pool, offset, wide_used
        self.squeeze_first, self.output_sigmoid = squeeze_first, output_sigmoid

    def forward(self, ids, dense, past):
        if self.offset:
            ids = ids + self.offsets
        linear_part = self.first(ids).sum(1)
        if self.squeeze_first:
            linear_part = linear_part.squeeze(1)
        v = self.second(ids)
        x = paddle.concat([v.flatten(1), dense], 1)
        seen = (past != 0).astype(x.dtype).unsqueeze(-1)
        history = self.pool(self.past(past), seen)
        total = linear_part + self.pairs(v) + self.deep(paddle.concat([x, history], 1))
        if self.wide_used:
            total = total + self.wide(self.cross(x))
        return functional.sigmoid(total) if self.output_sigmoid else total


def port(
    *,
    accumulator=0.1,
    epsilon=1e-6,
    decay=1e-2,
    decay_all=False,
    forgotten=(),
    reduction="mean",
    data=(),
    metric=AUC,
    **layers,
) -> Recipe:
    def optimizer(model):
        named = list(model.named_parameters())
        tables = [p for n, p in named if n.startswith(("first", "second"))]
        rest = [p for n, p in named if not n.startswith(("first", "second", *forgotten))]
        groups = [
            {"params": tables, "weight_decay": decay},
            {"params": rest, "weight_decay": decay if decay_all else 0.0},
        ]
        adagrad = paddle.optimizer.Adagrad(
            0.02, epsilon=epsilon, parameters=groups, initial_accumulator_value=accumulator
        )
        return adagrad, None

    def loss(outputs, targets):
        return functional.binary_cross_entropy_with_logits(outputs, targets[0], reduction=reduction)

    return Recipe(
        model=lambda: DeepFM(**layers),
        train_data=lambda: clicks(seed=1, **dict(data)),
        eval_data=lambda: clicks(seed=3, **dict(data)),
        loss=loss,
        optimizer=optimizer,
        metric=metric,
    )
