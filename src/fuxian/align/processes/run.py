"""What one process does with a recipe: a few training steps as ``fuxian train`` takes them, watched."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

import numpy as np
import paddle

from fuxian.align import paddle_side as side
from fuxian.align.draws import SEED
from fuxian.align.processes import batch_norms
from fuxian.align.processes.draws import Drawn, JointDraws, SharedDraws
from fuxian.align.record import in_precision
from fuxian.errors import InputError
from fuxian.recipe import Batch, Recipe, framework_of, leaves, map_tree, to_arrays, to_tensors, update_metric
from fuxian.training.batches import batches
from fuxian.training.distributed import share
from fuxian.training.seeds import seed_everything
from fuxian.training.step import Trainer

STEPS = 4
METRIC_BATCHES = 4
Arrays = dict[str, np.ndarray]


@dataclass
class Step:
    """One batch: losses by name, gradients by parameter before they are averaged over the processes and as the
    optimizer took them (empty where it took no step), the rates before it, parameters and buffers after it."""

    losses: dict[str, float]
    own: Arrays
    used: Arrays
    rates: dict[str, float]
    parameters: Arrays
    buffers: Arrays


@dataclass
class Run:
    """What one process did.

    ``drawn`` and ``begins``: the batches that it drew, and whether each began an epoch; ``initial``: the weights as
    built; ``outputs``: by layer, in the order in which they were given, those of the first batch; ``evaluated``: the
    moving average at the end; ``spread``: parameters of which each process holds its own part; ``norms``: the batch
    norms by path, True where synchronised; ``draws``: the random numbers, batch by batch.
    """

    drawn: list[Batch] = field(default_factory=list)
    begins: list[bool] = field(default_factory=list)
    initial: Arrays = field(default_factory=dict)
    outputs: Arrays = field(default_factory=dict)
    classes: dict[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    evaluated: Arrays = field(default_factory=dict)
    spread: list[str] = field(default_factory=list)
    norms: dict[str, bool] = field(default_factory=dict)
    draws: list[list[Drawn]] = field(default_factory=list)


@dataclass(frozen=True)
class Given:
    """What every process is given: the joint batches with whether each begins an epoch, the weights, what one process
    drew.

    ``accumulate``d batches count one by one. ``first``: the number of the first batch, for the random numbers.
    ``dtype``: what everything runs in.
    """

    batches: list[Batch]
    begins: list[bool]
    weights: Arrays
    draws: list[list[Drawn]]
    first: int = 0
    dtype: str = "float64"


@dataclass(frozen=True)
class Way:
    """How a run on one process differs from the plain one.

    - ``by_shares``: plain batch norms take each share's statistics.
    - ``share``: run on this share alone.
    - ``loss_of``: run on the joint batch, and take the loss of this share's outputs.
    - ``nudge``: inputs and weights are moved by this much, relatively.
    - ``raw``: gradients are left as they come, without hooks and clipping by the recipe.
    """

    by_shares: bool = False
    share: int | None = None
    loss_of: int | None = None
    nudge: float = 0.0
    raw: bool = False


_ready: list[bool] = []


@contextlib.contextmanager
def ready() -> Iterator[None]:
    """While open, recipes can be run. Getting ready takes longer than to run a small network, so that what runs several
    opens it once; within itself it does nothing."""
    if _ready:
        yield
        return
    with batch_norms.joint(), side.installed():
        _ready.append(True)
        try:
            yield
        finally:
            _ready.clear()


def wanted(recipe: Recipe) -> int:
    """The batches that are compared."""
    return STEPS * recipe.accumulate


def drawn(recipe: Recipe, rank: int, processes: int) -> tuple[list[Batch], list[bool]]:
    """The first batches that a process draws in training."""
    read = batches(recipe, seed=SEED, start=0, stop=wanted(recipe), rank=rank, processes=processes)
    with contextlib.closing(read):
        pairs = list(read)
    return [batch for batch, _ in pairs], [begins for _, begins in pairs]


def built(recipe: Recipe, dtype: str) -> Any:
    """The model as training builds it, in the precision of the run."""
    seed_everything(SEED)
    with paddle.utils.unique_name.guard():
        model = recipe.model()
    if framework_of(model) != "paddle":
        raise InputError("model() returned a torch.nn.Module; several processes are Paddle's, give the port.")
    side.cast(model, dtype)
    return model


def weights_of(model: Any) -> Arrays:
    return {_plain(name): np.array(side.to_array(tensor)) for name, tensor, _ in side.tensors(model)}


def _plain(name: str) -> str:
    return name.removeprefix("_layers.")


def run(
    recipe: Recipe,
    given: Given,
    *,
    size: int,
    rank: int | None = None,
    way: Way = Way(),
) -> Run:
    """Run a recipe on the joint batch (``rank`` None), or as one of ``size`` processes on its share of it.

    A weight that is not given stays the run's own. Raises what the recipe raises.
    """
    if way.loss_of is not None:
        recipe = _with_loss_of(recipe, way.loss_of, size)
    done = Run()
    processes = 1 if rank is None else size
    if way == Way():
        done.drawn, done.begins = drawn(recipe, rank or 0, processes)
    with side.default_dtype(given.dtype), ready(), _left_alone(way):
        model = built(recipe, given.dtype)
        side.adopt(model)
        done.initial = weights_of(model)
        random = np.random.default_rng(SEED)
        for name, tensor, _ in side.tensors(model):
            if _plain(name) in given.weights and list(given.weights[_plain(name)].shape) == tensor.shape:
                side.assign(tensor, _nudged(given.weights[_plain(name)], way.nudge, random))
        done.norms = {
            _plain(path): batch_norms.is_synchronised(layer)
            for path, layer in side.modules(model)
            if batch_norms.is_synchronised(layer) or batch_norms.is_plain(layer)
        }
        if way.by_shares:
            batch_norms.by_shares(model, size)
        if recipe.metric is not None and recipe.eval_data is not None and way.share is None and not way.raw:
            done.figures = _figures(recipe, model, given.dtype)
        _train(recipe, model, done, given, size, rank, way, random)
    return done


def _with_loss_of(recipe: Recipe, rank: int, size: int) -> Recipe:
    whole = recipe.loss
    if whole is None or recipe.step is not None:
        raise InputError("a step of the recipe's own gives no loss of a part of the outputs.")

    def loss(outputs: Any, targets: Any) -> Any:
        part = share({"inputs": outputs, "targets": targets}, rank, size)
        return whole(part["inputs"], part["targets"])

    return replace(recipe, loss=loss)


def _nudged(array: np.ndarray, nudge: float, random: np.random.Generator) -> np.ndarray:
    if not nudge or not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        return array
    return (array * (1.0 + nudge * random.choice([-1.0, 1.0], array.shape))).astype(array.dtype)


def _figures(recipe: Recipe, model: Any, dtype: str) -> dict[str, float]:
    assert recipe.metric is not None and recipe.eval_data is not None  # noqa: S101
    part = recipe.evaluated(model) if recipe.evaluated else model
    part.eval()
    metric = recipe.metric()
    seed_everything(SEED, of="evaluation")
    with contextlib.nullcontext() if recipe.higher_order else paddle.no_grad():
        for batch in itertools.islice(recipe.eval_data(), METRIC_BATCHES):
            inputs = to_tensors("paddle", in_precision(batch["inputs"], dtype))
            update_metric(metric, to_arrays(recipe.forward(part, inputs)), batch)
    return {name: float(figure) for name, figure in metric.figures().items()}


def _train(
    recipe: Recipe,
    model: Any,
    done: Run,
    given: Given,
    size: int,
    rank: int | None,
    way: Way,
    random: np.random.Generator,
) -> None:
    model.train()
    trainer = _Watched(recipe, model, 1 if rank is None else size)
    names = {
        id(t): _plain(name) for name, t, kind in reversed(list(side.tensors(model))) if kind == "parameter"
    }
    outside = _outside(trainer, {id(tensor) for _, tensor, _ in side.tensors(model)})
    names |= {id(tensor): name for name, tensor in outside.items()}
    done.spread = [names[id(p)] for p in model.parameters() if p.is_distributed and id(p) in names]
    seen = _Outputs(model)
    for number, whole in enumerate(given.batches):
        batch = in_precision({"inputs": whole["inputs"], "targets": whole.get("targets", ())}, given.dtype)
        batch["inputs"] = map_tree(lambda leaf: _nudged(leaf, way.nudge, random), batch["inputs"])
        part = rank if rank is not None else way.share
        if part is None:
            draws = JointDraws(SEED + given.first + number, size)
        else:
            batch = share(batch, part, size, recipe.batch_size)
            joint = given.draws[number] if number < len(given.draws) else []
            draws = SharedDraws(SEED + given.first + number, size, part, joint)
        seed_everything(SEED, given.first + number, of="step")
        if number and given.begins[number]:
            trainer.end_epoch()
        rates = {name: float(optimizer.get_lr()) for name, (optimizer, _) in trainer.optimizers.items()}
        with side.sharing_draws(draws, None), trainer.watched(names, outside):
            losses = {name: float(value) for name, value in trainer.step(batch).items()}
        if not number:
            done.outputs, done.classes = seen.take()
        done.draws.append(draws.noted)
        held = [(_plain(name), np.array(side.to_array(t)), kind) for name, t, kind in side.tensors(model)]
        done.steps.append(
            Step(
                losses,
                trainer.own,
                trainer.used,
                rates,
                {name: array for name, array, kind in held if kind == "parameter"}
                | {name: np.array(side.to_array(tensor)) for name, tensor in outside.items()},
                {name: array for name, array, kind in held if kind == "buffer"},
            )
        )
    if recipe.average is not None:
        done.evaluated = weights_of(trainer.evaluated)


def _outside(trainer: Trainer, inside: set[int]) -> dict[str, Any]:
    """Parameters that an optimizer has and the model has not: a loss may hold them."""
    return {
        f"{name}.parameter{number}": parameter
        for name, (optimizer, _) in trainer.optimizers.items()
        for number, parameter in enumerate(p for group in side.groups(optimizer) for p in group["params"])
        if id(parameter) not in inside
    }


class _Outputs:
    """What each layer gave for the first batch, the layers within a layer before it."""

    def __init__(self, model: Any) -> None:
        self.arrays: Arrays = {}
        self.classes: dict[str, str] = {}
        self.hooks = [
            layer.register_forward_post_hook(self._keeping(_plain(path) if path != "_layers" else ""))
            for path, layer in side.modules(model)
            if not isinstance(layer, paddle.DataParallel)
        ]

    def _keeping(self, path: str) -> Any:
        def keep(layer: Any, _: Any, outputs: Any) -> None:
            self.classes[path] = type(layer).__name__
            for leaf, value in leaves(outputs):
                if side.is_tensor(value) and value.is_floating_point() and value.size:
                    name = f"{path}:{leaf}" if leaf else path
                    calls = sum(1 for other in self.arrays if other.split("#")[0] == name)
                    self.arrays[f"{name}#{calls}" if calls else name] = np.array(side.to_array(value))

        return keep

    def take(self) -> tuple[Arrays, dict[str, str]]:
        for hook in self.hooks:
            hook.remove()
        return self.arrays, self.classes


class _Watched(Trainer):
    """Keeps the gradients before they are averaged over the processes and as the first optimizer to step takes them."""

    own: Arrays
    used: Arrays
    names: dict[int, str]
    outside: dict[str, Any]

    @contextlib.contextmanager
    def watched(self, names: dict[int, str], outside: dict[str, Any]) -> Iterator[None]:
        self.own, self.used, self.names, self.outside = {}, {}, names, outside
        kinds = [kind for kind in _optimizers(paddle.optimizer.Optimizer) if "step" in vars(kind)]
        with contextlib.ExitStack() as stack:
            for kind in kinds:
                stack.enter_context(mock.patch.object(kind, "step", self._telling(vars(kind)["step"])))
            yield

    def _telling(self, step: Any) -> Any:
        def told(optimizer: Any, *args: Any, **named: Any) -> Any:
            now = self._gradients()
            # Where the recipe's own code steps, nothing was averaged.
            self.own = {**now, **self.own}
            self.used = {**now, **self.used}
            return step(optimizer, *args, **named)

        return told

    def average_gradients(self) -> None:
        self.own = {**self._gradients(), **self.own}
        super().average_gradients()

    def _gradients(self) -> Arrays:
        return {
            self.names[id(p)]: np.array(side.to_array(p.grad))
            for p in (*self.model.parameters(), *self.outside.values())
            if p.grad is not None and id(p) in self.names
        }


def _optimizers(kind: type) -> list[type]:
    below: list[type] = kind.__subclasses__()
    return [kind, *(one for sub in below for one in _optimizers(sub))]


@contextlib.contextmanager
def _left_alone(way: Way) -> Iterator[None]:
    if not way.raw:
        yield
        return
    utilities = paddle.nn.utils
    with (
        mock.patch.object(paddle.Tensor, "register_hook", lambda *_: None),
        mock.patch.object(utilities, "clip_grad_norm_", lambda *_, **__: None),
        mock.patch.object(utilities, "clip_grad_value_", lambda *_, **__: None),
    ):
        yield


def shares(given: Given, recipe: Recipe, size: int) -> None:
    """Raises InputError where a joint batch cannot be shared out."""
    for batch in given.batches:
        share(batch, 0, size, recipe.batch_size)


def rows_of(batch: Batch) -> list[bytes]:
    """Each example of a batch as bytes: the same where inputs and targets are."""
    arrays: Sequence[np.ndarray] = [
        np.ascontiguousarray(leaf)
        for _, leaf in leaves({"inputs": batch["inputs"], "targets": batch.get("targets", ())})
        if isinstance(leaf, np.ndarray) and leaf.ndim
    ]
    count = min((len(array) for array in arrays), default=0)
    return [b"".join(array[i].tobytes() for array in arrays) for i in range(count)]
