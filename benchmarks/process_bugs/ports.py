"""The ports: ways to write data-parallel training wrong, and others that are right.

The networks are small, the data drawn from a seed; a batch has 8 examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle
import paddle.distributed as dist
from paddle import nn
from paddle.nn import functional

from fuxian import Recipe

CLASSES = 5


def world() -> int:
    return dist.get_world_size()


def examples(count: int = 8, batches: int = 4, seed: int = 0) -> list[dict]:
    random = np.random.default_rng(seed)
    return [
        {
            "inputs": (random.standard_normal((count, 3, 6, 6)).astype("float32"),),
            "targets": (random.integers(0, CLASSES, count),),
        }
        for _ in range(batches)
    ]


class Net(nn.Layer):
    def __init__(
        self, norm: Any = nn.BatchNorm2D, dropout: float = 0.2, last: nn.Layer | None = None
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2D(3, 8, 3, padding=1)
        self.norm = norm(8)
        self.drop = nn.Dropout(dropout)
        self.last = last
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Any) -> Any:
        x = functional.relu(self.norm(self.conv(x))).mean((2, 3))
        x = self.drop(x)
        return self.head(x if self.last is None else self.last(x))


class GroupNorm(nn.GroupNorm):
    def __init__(self, channels: int) -> None:
        super().__init__(2, channels)


class HandWrittenNorm(nn.Layer):
    """Normalises by the batch at hand, as ports of other frameworks' code do."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = self.create_parameter([channels], default_initializer=nn.initializer.Constant(1.0))

    def forward(self, x: Any) -> Any:
        mean = x.mean((0, 2, 3), keepdim=True)
        spread = ((x - mean) ** 2).mean((0, 2, 3), keepdim=True)
        return (x - mean) * (spread + 1e-5).rsqrt() * self.scale.reshape([1, -1, 1, 1])


class MinibatchDeviation(nn.Layer):
    """The deviation over the batch, beside each example (progressive GANs)."""

    def forward(self, x: Any) -> Any:
        return x + x.std(0).mean()


class Accuracy:
    def __init__(self) -> None:
        self.hits: list[bool] = []

    def update(self, outputs: Any, targets: Any, meta: Any = None) -> None:
        self.hits += (outputs.argmax(1) == targets[0]).tolist()

    def figures(self, selection: Any = None) -> dict[str, float]:
        return {"top1": float(np.mean(self.hits))}


class Shared(Sequence):
    """Batches with a ``share`` of their own."""

    def __init__(self, take: Any) -> None:
        self.batches, self.take = examples(), take

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> dict:
        return self.batches[index]

    def share(self, index: int, rank: int, processes: int) -> dict:
        batch = self.batches[index]
        rows = self.take(len(batch["inputs"][0]), rank, processes)
        return {part: tuple(array[rows] for array in batch[part]) for part in ("inputs", "targets")}


def rows(count: int, rank: int, size: int) -> list[int]:
    return list(range(rank * count // size, (rank + 1) * count // size))


def by_sampler() -> list[dict]:
    """What each process's DistributedBatchSampler gives: a share already, which training shares out again."""
    pictures = np.concatenate([batch["inputs"][0] for batch in examples()])
    labels = np.concatenate([batch["targets"][0] for batch in examples()])
    sampler = paddle.io.DistributedBatchSampler(list(range(32)), batch_size=8 // world())
    return [{"inputs": (pictures[rows],), "targets": (labels[rows],)} for rows in map(np.array, sampler)]


def shuffled(seed: int | None) -> list[dict]:
    batches = examples()
    random = np.random.default_rng(seed)
    pictures, labels = (np.concatenate([b[part][0] for b in batches]) for part in ("inputs", "targets"))
    order = random.permutation(len(labels))
    return [
        {"inputs": (pictures[rows],), "targets": (labels[rows],)} for rows in np.split(order, len(batches))
    ]


def cross_entropy(outputs: Any, targets: tuple) -> Any:
    return functional.cross_entropy(outputs, targets[0])


def contrastive(outputs: Any, targets: tuple) -> Any:
    """Each example against the others of its batch."""
    unit = functional.normalize(outputs)
    return functional.cross_entropy(unit @ unit.T / 0.1, paddle.arange(len(unit)))


WEIGHTS = (1.0, 2.0, 0.5, 3.0, 0.25)


def weighted(outputs: Any, targets: tuple) -> Any:
    return functional.cross_entropy(outputs, targets[0], paddle.to_tensor(WEIGHTS, dtype=outputs.dtype))


def per_positive(outputs: Any, targets: tuple, gathered: bool = False) -> Any:
    """A detector's: the sum over examples, divided by how many are positive, here or in the processes' mean."""
    positive = (targets[0] < 3).astype(outputs.dtype)
    count = positive.sum()
    if gathered and world() > 1:
        dist.all_reduce(count)
        count = count / world()
    entropies = functional.cross_entropy(outputs, targets[0], reduction="none").flatten()
    return (entropies * positive).sum() / count.clip(1)


def on_each(model: nn.Layer, change: Any) -> nn.Layer:
    for parameter in model.parameters():
        if not parameter.stop_gradient:
            parameter.register_hook(change)
    return model


def reduced(gradient: Any) -> Any:
    if world() > 1:
        gradient = gradient.clone()
        dist.all_reduce(gradient)
    return gradient


def clipped_by_norm(gradient: Any) -> Any:
    return gradient * (0.01 / gradient.norm()).clip(max=1.0)


def momentum(model: nn.Layer, rate: Any = 0.05, clip: Any = None) -> Any:
    return paddle.optimizer.Momentum(rate, parameters=model.parameters(), grad_clip=clip)


def port(model: Any = Net, **parts: Any) -> Recipe:
    return Recipe(
        model=model,
        **{
            "train_data": examples,
            "eval_data": lambda: examples(seed=1),
            "loss": cross_entropy,
            "optimizer": momentum,
            "metric": Accuracy,
            **parts,
        },
    )


def marked() -> nn.Layer:
    model = Net()
    model.head.weight.is_distributed = True
    return model


def seeded_by_process() -> nn.Layer:
    paddle.seed(100 + dist.get_rank())
    return Net()


def converted_early() -> nn.Layer:
    """The head, with a norm of its own, is put on after the conversion."""
    model = nn.SyncBatchNorm.convert_sync_batchnorm(Net())
    model.last = nn.BatchNorm1D(8)
    return model


def steps_alone() -> Recipe:
    """Its own optimizer steps; ``update``, which averages, is never called."""
    held: dict[str, Any] = {}

    def optimizer(model: nn.Layer) -> Any:
        held["main"] = momentum(model)
        return held["main"]

    def step(model: nn.Layer, update: Any, batch: dict) -> Any:
        loss = cross_entropy(model(*batch["inputs"]), batch["targets"])
        loss.backward()
        held["main"].step()
        held["main"].clear_grad()
        return loss

    return port(loss=None, step=step, optimizer=optimizer)


def by_hand() -> Recipe:
    """Moves a learned centre by hand, by its own process's examples."""

    def model() -> nn.Layer:
        made = Net(GroupNorm)
        made.centre = made.create_parameter([CLASSES], default_initializer=nn.initializer.Constant(0.0))
        made.centre.stop_gradient = True
        return made

    def step(made: nn.Layer, update: Any, batch: dict) -> Any:
        outputs = made(*batch["inputs"])
        loss = cross_entropy(outputs - made.centre, batch["targets"])
        update(loss)
        with paddle.no_grad():
            made.centre.set_value(0.9 * made.centre + 0.1 * outputs.mean(0))
        return loss

    return port(model, loss=None, step=step)


def held_by_the_loss() -> Recipe:
    """The centres of a centre loss: the optimizer has them, the model has not."""
    held: dict[str, Any] = {}

    def optimizer(model: nn.Layer) -> Any:
        held["centres"] = paddle.zeros([CLASSES, CLASSES], dtype=model.head.weight.dtype)
        held["centres"].stop_gradient = False
        centres = paddle.base.framework.EagerParamBase.from_tensor(held["centres"])
        held["centres"] = centres
        return paddle.optimizer.Momentum(0.5, parameters=[*model.parameters(), centres])

    def loss(outputs: Any, targets: tuple) -> Any:
        apart = outputs - held["centres"][targets[0].flatten()]
        return cross_entropy(outputs, targets) + (apart**2).mean()

    return port(loss=loss, optimizer=optimizer)


def adversarial() -> Recipe:
    """Two optimizers, each stepped through ``update``."""

    class Both(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.generator, self.critic = nn.Linear(4, 4), nn.Linear(4, 1)

    def data() -> list[dict]:
        random = np.random.default_rng(3)
        return [{"inputs": (random.standard_normal((8, 4)).astype("float32"),)} for _ in range(4)]

    def optimizer(model: Both) -> dict:
        return {
            name: paddle.optimizer.Adam(1e-2, parameters=getattr(model, name).parameters())
            for name in ("generator", "critic")
        }

    def step(model: Both, update: Any, batch: dict) -> dict:
        (real,) = batch["inputs"]
        made = model.generator(paddle.randn(real.shape, dtype=real.dtype))
        critic = (
            functional.softplus(-model.critic(real)).mean()
            + functional.softplus(model.critic(made.detach())).mean()
        )
        update(critic, "critic")
        generator = functional.softplus(-model.critic(made)).mean()
        update(generator, "generator")
        return {"total": critic.detach() + generator.detach(), "critic": critic, "generator": generator}

    return Recipe(model=Both, train_data=data, optimizer=optimizer, step=step)


class Tokens(nn.Layer):
    """Time first, and both axes folded into one for the head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1)
        self.encoder = nn.TransformerEncoder(layer, 1)
        self.head = nn.Linear(8, 11)

    def forward(self, tokens: Any) -> Any:
        x = self.encoder(self.embed(tokens)).transpose([1, 0, 2])
        return self.head(x.reshape([-1, 8]))


def tokens() -> Recipe:
    def data() -> list[dict]:
        random = np.random.default_rng(4)
        return [
            {"inputs": (random.integers(0, 11, (4, 6)),), "targets": (random.integers(0, 11, (4, 6)),)}
            for _ in range(4)
        ]

    def loss(outputs: Any, targets: tuple) -> Any:
        return functional.cross_entropy(outputs, targets[0].transpose([1, 0]).flatten())

    def optimizer(model: nn.Layer) -> Any:
        schedule = paddle.optimizer.lr.NoamDecay(8, 4, 0.5)
        clip = nn.ClipGradByGlobalNorm(0.5)
        return paddle.optimizer.AdamW(schedule, parameters=model.parameters(), grad_clip=clip), schedule

    return Recipe(model=Tokens, train_data=data, loss=loss, optimizer=optimizer)


def mixed(model: nn.Layer, inputs: tuple) -> Any:
    (x,) = inputs
    if model.training:
        x = 0.7 * x + 0.3 * x[paddle.randperm(len(x))]
    return model(x)


def wrapped() -> nn.Layer:
    model = Net()
    return paddle.DataParallel(model) if world() > 1 else model


class Routed(nn.Layer):
    """Each example goes through one of two experts; a share may reach one alone. ``first``: the first example's way is
    taken for all."""

    def __init__(self, first: bool = False) -> None:
        super().__init__()
        self.experts = nn.LayerList([nn.Linear(108, CLASSES) for _ in range(2)])
        self.first = first

    def forward(self, x: Any) -> Any:
        flat = x.flatten(1)
        way = (x[:1, 0, 0, 0] if self.first else x[:, 0, 0, 0]) > 0.5
        outputs = paddle.zeros([len(x), CLASSES], dtype=x.dtype)
        for expert, taken in zip(self.experts, (way, ~way), strict=True):
            if taken.any():
                outputs = outputs + expert(flat) * taken.astype(x.dtype).unsqueeze(1)
        return outputs


def averaged(average: nn.Layer, trained: nn.Layer, updates: int) -> None:
    for one, two in zip(average.parameters(), trained.parameters(), strict=True):
        one.set_value(0.9 * one + 0.1 * two)


def warm(rate: float) -> Any:
    def optimizer(model: nn.Layer) -> Any:
        schedule = paddle.optimizer.lr.LinearWarmup(rate, 3, 0.0, rate)
        return momentum(model, schedule, nn.ClipGradByNorm(0.1)), schedule

    return optimizer


def cosine_by_own_batches(model: nn.Layer) -> Any:
    schedule = paddle.optimizer.lr.CosineAnnealingDecay(0.05, 8 // world())
    return momentum(model, schedule), schedule


def on_plateau(model: nn.Layer) -> Any:
    schedule = paddle.optimizer.lr.ReduceOnPlateau(0.05, patience=0, factor=0.5)
    return momentum(model, schedule), schedule


def narrow(outputs: Any, targets: tuple) -> Any:
    return functional.cross_entropy(outputs.astype("float32"), targets[0])


def in_part() -> list[dict]:
    return examples(seed=1)[dist.get_rank() :: world()]


def fails(outputs: Any, targets: tuple) -> Any:
    if world() > 1:
        raise RuntimeError("group 'dp' was not made")
    return cross_entropy(outputs, targets)
