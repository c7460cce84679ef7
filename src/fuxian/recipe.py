"""Recipe: the parts of one experiment, the same parts for a Paddle port and its torch reference.

Shapes of data, everywhere a recipe's parts meet:

- a *batch* is ``{"inputs": tree, "targets": tree}`` of numpy arrays, with ``"meta"`` (ids) if wanted;
- a *tree* is an array, or a tuple, list or dict of trees; a list is ragged (detections per image).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from fuxian.errors import InputError
from fuxian.metrics import Selection, Units
from fuxian.source_file import load_module, mistakes_in

Tree = Any
Batch = dict[str, Any]
Framework = Literal["paddle", "torch"]


class Metric(Protocol):
    """What a recipe's ``metric()`` returns; ``fuxian.metrics`` has one for each kind of figure.

    Arrays are detached numpy arrays. A metric of its own kind may leave ``units`` out; its figures are then ruled on
    over seeds alone.
    """

    def update(self, outputs: Tree, targets: Tree, meta: Any = None) -> None:
        """Take in one batch; ``meta`` is the batch's, None where it has none."""

    def units(self) -> Mapping[str, Units]:
        """By figure, what each unit (image, pair, user, task, fold) contributed: the figure comes from them alone."""

    def figures(self, selection: Selection | None = None) -> dict[str, float]:
        """Every figure by name, of all units or of those selected; a claim names the one it rules on."""


def update_metric(metric: Metric, outputs: Tree, batch: Batch) -> None:
    """Lets a metric take in what a model gave for a batch. ``outputs`` are detached numpy arrays."""
    if "meta" in batch:
        metric.update(outputs, batch["targets"], batch["meta"])
    else:
        metric.update(outputs, batch["targets"])


def named_optimizers(made: Any) -> dict[str, tuple[Any, Any]]:
    """What a recipe's ``optimizer`` gave, as pairs with a schedule (or None) by name; one alone is ``main``."""
    by_name = made if isinstance(made, dict) else {"main": made}
    return {name: one if isinstance(one, tuple) else (one, None) for name, one in by_name.items()}


def call_model(model: Any, inputs: tuple) -> Tree:
    """The default ``forward``: ``model(*inputs)``."""
    return model(*inputs)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The parts of one experiment. Only ``model`` must be given.

    The framework follows from what ``model()`` returns. ``forward`` follows ``model.training``.
    """

    model: Callable[[], Any]
    """``model() -> paddle.nn.Layer | torch.nn.Module``, freshly initialised."""
    train_data: Callable[[], Iterable[Batch]] | None = None
    """``train_data()`` is one epoch. A sequence of batches can be drawn by worker processes; if it has a method
    ``share(index, rank, processes)`` too, each process of a distributed training draws only its rows."""
    batch_size: int | None = None
    """Examples in a batch of ``train_data``; where absent, the rows of its inputs."""
    eval_data: Callable[[], Iterable[Batch]] | None = None
    forward: Callable[[Any, tuple], Tree] = call_model
    """``forward(model, inputs) -> outputs``; all that the loss needs besides the targets is in outputs."""
    loss: Callable[[Tree, tuple], Any] | None = None
    """``loss(outputs, targets) -> scalar``, or a dict of named scalars with their sum under ``"total"``."""
    optimizer: Callable[[Any], Any] | None = None
    """``optimizer(model)``: an optimizer, ``(optimizer, schedule or None)``, or a dict of these. Clips by itself."""
    metric: Callable[[], Metric] | None = None
    schedule_every: Literal["step", "epoch", "evaluation"] = "step"
    """When schedules move: after each optimizer step, each epoch of ``train_data``, or each evaluation."""
    schedule_follows: str = "total"
    """What a reduce-on-plateau schedule is given: the mean of this loss since it last moved, or with
    ``schedule_every="evaluation"`` this figure of the metric."""
    accumulate: int = 1
    """Batches to an optimizer step: the step of their mean loss."""
    evaluated: Callable[[Any], Any] | None = None
    """``evaluated(model)`` is the part of a model, new or trained, that is evaluated; the whole where absent."""
    average: Callable[[Any, Any, int], None] | None = None
    """``average(averaged, trained, updates)``, where a moving average (EMA) is evaluated: called without gradients
    after each optimizer step, counted by ``updates`` from 1, it moves ``averaged``, which began as a copy of
    ``trained``, the part that ``evaluated`` names."""
    step: Callable[[Any, Callable[..., None], Batch], Any] | None = None
    """``step(model, update, batch) -> losses`` where one backward pass is not enough (GANs).

    The batch holds tensors. ``update(loss, *names)`` runs backward from ``loss``, has the named optimizers step (all
    where none is named) and clears all gradients; with several processes it averages them first. Losses are as
    ``loss`` returns them. Schedules and the average move once a call of ``step``."""
    higher_order: bool = False
    """Whether ``forward`` differentiates (inner loops): graphs are then kept in evaluation and prediction too."""


def framework_of(model: Any) -> Framework:
    """``"paddle"`` or ``"torch"``, from the model's class; imports neither.

    Raises InputError for anything else.
    """
    for cls in type(model).__mro__:
        if cls.__module__.split(".")[0] in ("paddle", "torch") and cls.__name__ in ("Layer", "Module"):
            return cls.__module__.split(".")[0]  # type: ignore[return-value]
    raise InputError(
        f"model() returned {type(model).__name__}, which is neither a paddle.nn.Layer nor a torch.nn.Module:"
        " return one of the two."
    )


def map_tree(function: Callable[[Any], Any], tree: Tree) -> Tree:
    """The same tree with ``function`` applied to each leaf."""
    if isinstance(tree, dict):
        return {key: map_tree(function, value) for key, value in tree.items()}
    if isinstance(tree, (tuple, list)):
        return type(tree)(map_tree(function, value) for value in tree)
    return function(tree)


def leaves(tree: Tree, path: str = "") -> list[tuple[str, Any]]:
    """Every leaf with its path, as in ``"0.boxes.2"``, in order."""
    if isinstance(tree, dict):
        pairs: Iterable[tuple[Any, Any]] = tree.items()
    elif isinstance(tree, (tuple, list)):
        pairs = enumerate(tree)
    else:
        return [(path, tree)]
    return [leaf for key, value in pairs for leaf in leaves(value, f"{path}.{key}" if path else str(key))]


def tree_of(named: dict[str, Any]) -> dict[str, Tree]:
    """The inverse of ``leaves`` for a dict: names that count from 0 become a tuple, others a dict."""
    nested: dict[str, Any] = {}
    for path, leaf in named.items():
        *parents, last = path.split(".")
        place = nested
        for name in parents:
            place = place.setdefault(name, {})
        place[last] = leaf
    return {name: _tuples(node) for name, node in nested.items()}


def _tuples(node: Any) -> Tree:
    if not isinstance(node, dict):
        return node
    made = {name: _tuples(value) for name, value in node.items()}
    if set(made) == {str(index) for index in range(len(made))}:
        return tuple(made[str(index)] for index in range(len(made)))
    return made


def to_tensors(framework: Framework, tree: Tree) -> Tree:
    """Arrays become tensors of the framework; other leaves (strings, None) stay."""
    if framework == "paddle":
        import paddle

        def convert(leaf: Any) -> Any:
            return paddle.to_tensor(leaf) if isinstance(leaf, (np.ndarray, np.generic)) else leaf
    else:
        import torch

        def convert(leaf: Any) -> Any:
            return torch.tensor(leaf) if isinstance(leaf, (np.ndarray, np.generic)) else leaf

    return map_tree(convert, tree)


def to_arrays(tree: Tree) -> Tree:
    """Tensors of either framework become detached numpy arrays; other leaves stay."""

    def convert(leaf: Any) -> Any:
        return leaf.detach().cpu().numpy() if hasattr(leaf, "detach") else leaf

    return map_tree(convert, tree)


def load_recipe(source: str) -> Recipe:
    """The recipe of a file that defines ``recipe()``, or of ``module:attribute``.

    Raises InputError when there is none.
    """
    path = Path(source)
    if path.suffix == ".py":
        if not path.is_file():
            raise InputError(
                f"{source}: there is no such recipe file; give a Python file that defines recipe()."
            )
        maker = getattr(load_module(path), "recipe", None)
    elif ":" in source:
        name, attribute = source.split(":", 1)
        try:
            maker = getattr(importlib.import_module(name), attribute, None)
        except ModuleNotFoundError as error:
            raise InputError(
                f"{source}: module {error.name!r} cannot be imported; check the name."
            ) from error
    else:
        raise InputError(f"{source}: give a recipe file (path/to/recipe.py) or module:attribute.")
    with mistakes_in(path.resolve()):
        made = maker() if callable(maker) else maker
    if not isinstance(made, Recipe):
        raise InputError(f"{source}: no recipe() that returns a fuxian.Recipe was found; define one.")
    return made
