"""Class centres spread over processes, and a sample of them a step (section 3.2's parallel acceleration; PartialFC).

Each process holds a share of the centres and sees the embeddings of all. Of C classes the step uses those of its
labels, and negatives drawn until ``rate`` C are reached (An et al., 2022). The sample is drawn over all classes from a
seed that the processes share, so their number changes nothing in the result.

Shape legend: b examples of this process, B of all, E features, c sampled classes of this process.
"""

from __future__ import annotations

import numpy as np
import paddle
import paddle.distributed as dist
from paddle import ParamAttr, Tensor, nn
from paddle.autograd import PyLayer
from paddle.nn.initializer import Normal

from fuxian.papers.arcface.loss import margin_logits
from fuxian.papers.arcface.model import cosines
from fuxian.papers.arcface.settings import Margin
from fuxian.training.distributed import world


def shard(classes: int, rank: int, processes: int) -> range:
    """The classes of a process: as even as can be, the first ones have one more."""
    each, more = divmod(classes, processes)
    start = rank * each + min(rank, more)
    return range(start, start + each + (rank < more))


def sample_classes(labels: np.ndarray, classes: int, rate: float, seed: tuple[int, ...]) -> np.ndarray:
    """The step's classes, sorted: every label's, and the best of a random draw up to ``rate`` of all."""
    if rate >= 1.0:
        return np.arange(classes)
    chance = np.random.default_rng(seed).random(classes)
    positive = np.unique(labels)
    chance[positive] = 2.0
    count = max(int(rate * classes), len(positive))
    return np.sort(np.argpartition(-chance, count - 1)[:count])


class PartialFC(nn.Layer):
    """The margin loss over sampled classes of ``classes``, whose centres are spread over the processes.

    ``forward(embeddings [b, E], labels [b], step)`` returns the mean loss over the examples of all processes, the same
    number in each. The gradient of the embeddings is multiplied by the number of processes, so that the mean over
    processes, which data-parallel training takes of the network's gradients, is the gradient of that loss. The centres'
    gradients are whole: they must not be averaged, and are marked ``is_distributed``.
    """

    def __init__(self, classes: int, features: int, margin: Margin, *, rate: float = 1.0, seed: int = 0):
        super().__init__()
        self.rank, self.processes = world()
        self.classes, self.rate, self.seed, self.margin = classes, rate, seed, margin
        self.shard = shard(classes, self.rank, self.processes)
        drawn = ParamAttr(initializer=Normal(0.0, 0.01), need_clip=False)
        self.weight = self.create_parameter([len(self.shard), features], attr=drawn)
        self.weight.is_distributed = self.processes > 1

    def forward(self, embeddings_bE: Tensor, labels_b: Tensor, step: int = 0) -> Tensor:
        embeddings_BE, labels = embeddings_bE, labels_b.numpy()
        if self.processes > 1:
            embeddings_BE = _Gather.apply(embeddings_bE, self.rank, self.processes)
            parts: list[Tensor] = []
            dist.all_gather(parts, labels_b)
            labels = paddle.concat(parts).numpy()
        sampled = sample_classes(labels, self.classes, self.rate, (self.seed, step))
        mine = sampled[(sampled >= self.shard.start) & (sampled < self.shard.stop)]
        place = np.searchsorted(mine, labels)
        here = np.isin(labels, mine)
        own_B = paddle.to_tensor(np.where(here, place, -1))
        weight_cE = self.weight
        if len(mine) < len(self.shard):
            weight_cE = paddle.gather(self.weight, paddle.to_tensor(mine - self.shard.start))
        logits_Bc = margin_logits(cosines(embeddings_BE, weight_cE), own_B, self.margin)
        return _CrossEntropy.apply(logits_Bc, own_B, self.processes)


class _Gather(PyLayer):
    @staticmethod
    def forward(ctx, x, rank, processes):
        ctx.rank, ctx.processes = rank, processes
        parts: list[Tensor] = []
        dist.all_gather(parts, x)
        return paddle.concat(parts)

    @staticmethod
    def backward(ctx, gradient):
        gradient = gradient.clone()
        dist.all_reduce(gradient)
        return paddle.split(gradient, ctx.processes)[ctx.rank] * ctx.processes


class _CrossEntropy(PyLayer):
    """Mean cross entropy where each process has some columns of the logits [B, c]; label -1: another process has it."""

    @staticmethod
    def forward(ctx, logits_Bc, own_B, processes):
        highest_B1 = logits_Bc.max(1, keepdim=True)
        if processes > 1:
            dist.all_reduce(highest_B1, dist.ReduceOp.MAX)
        own_Bc = (own_B.unsqueeze(1) == paddle.arange(logits_Bc.shape[1])).astype(logits_Bc.dtype)
        shifted_Bc = logits_Bc - highest_B1
        powers_Bc = paddle.exp(shifted_Bc)
        sums_2B = paddle.stack([powers_Bc.sum(1), (own_Bc * shifted_Bc).sum(1)])
        if processes > 1:
            dist.all_reduce(sums_2B)
        ctx.save_for_backward((powers_Bc / sums_2B[0].unsqueeze(1) - own_Bc) / len(logits_Bc))
        return (paddle.log(sums_2B[0]) - sums_2B[1]).mean()

    @staticmethod
    def backward(ctx, gradient):
        (slope_Bc,) = ctx.saved_tensor()
        return slope_Bc * gradient, None
