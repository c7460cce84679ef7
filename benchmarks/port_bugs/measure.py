"""What a pair of recipes does, stage by stage, without the engine: the catalogue is checked with this.

Carries the reference's weights to the port, feeds both the reference's batches and the same random masks, and
gives per stage the largest difference. It knows nothing of causes and places.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import paddle
import torch

from fuxian.recipe import Recipe, leaves, map_tree, to_arrays, to_tensors

FUSED = ("q_proj", "k_proj", "v_proj")


@contextlib.contextmanager
def default_dtype(dtype: str) -> Iterator[None]:
    before = paddle.get_default_dtype(), torch.get_default_dtype()
    paddle.set_default_dtype(dtype)
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        yield
    finally:
        paddle.set_default_dtype(before[0])
        torch.set_default_dtype(before[1])


def torch_tensors(model: torch.nn.Module) -> dict[str, np.ndarray]:
    """Weights and buffers by name in Paddle's layout and naming; q, k, v of a joint projection apart."""
    found = {}
    for path, module in model.named_modules():
        for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
            array = tensor.detach().numpy()
            key = f"{path}.{name}" if path else name
            if name == "num_batches_tracked":
                continue
            if isinstance(module, torch.nn.MultiheadAttention) and name.startswith("in_proj"):
                kind = name.removeprefix("in_proj_")
                for part, piece in zip(FUSED, np.split(array, 3), strict=True):
                    found[f"{path}.{part}.{kind}"] = piece.T if kind == "weight" else piece
                continue
            if isinstance(module, torch.nn.Linear) and name == "weight":
                array = array.T
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm | torch.nn.InstanceNorm2d):
                key = key.replace("running_mean", "_mean").replace("running_var", "_variance")
            found[key] = array
    # MultiheadAttention lists every weight before every bias; each projection's two belong together.
    return dict(sorted(found.items(), key=lambda item: _order(item[0], list(found))))


def _order(key: str, keys: list[str]) -> tuple[int, int]:
    parent = key.rsplit(".", 1)[0]
    return min(i for i, other in enumerate(keys) if other.rsplit(".", 1)[0] == parent), keys.index(key)


def paddle_tensors(model: paddle.nn.Layer) -> dict[str, paddle.Tensor]:
    """Weights and buffers by name, each once; scale of an InstanceNorm2D is called weight as in torch."""
    found, seen = {}, set()
    for path, layer in model.named_sublayers(include_self=True):
        if isinstance(layer, paddle.nn.layer.rnn.RNNBase):
            names = [n for n in vars(layer) if n.startswith(("weight_ih", "weight_hh", "bias_ih", "bias_hh"))]
            own = {name: getattr(layer, name) for name in names} or dict(layer.named_parameters())
        else:
            own = {**layer._parameters, **layer._buffers}
        for name, tensor in own.items():
            if tensor is not None and id(tensor) not in seen:
                seen.add(id(tensor))
                found[f"{path}.{name}" if path else name] = tensor
    return found


def carry_weights(reference: torch.nn.Module, port: paddle.nn.Layer) -> dict[str, str]:
    """Copies by name where all names agree, else by order and shape; returns reference's name -> port's name.

    Tensors that one side has alone are left out.
    """
    given, wanted = torch_tensors(reference), paddle_tensors(port)
    transposed = torch_layout(port)
    renamed = {name.replace(".scale", ".weight").replace("_weight", "weight"): name for name in wanted}
    if len({_plain(n) for n in given} & {_plain(n) for n in renamed}) > 0.8 * len(given):
        by_plain = {_plain(n): name for n, name in renamed.items()}
        pairs = [(name, by_plain[_plain(name)]) for name in given if _plain(name) in by_plain]
    else:
        pairs = list(zip(given, wanted, strict=False))
    copied = {}
    for name, place in pairs:
        array = given[name].T if place in transposed else given[name]
        if list(array.shape) == list(wanted[place].shape):
            wanted[place].set_value(np.ascontiguousarray(array))
            copied[name] = place
    return copied


def torch_layout(model: paddle.nn.Layer) -> set[str]:
    """Weights of paddle.compat layers: these keep torch's layout."""
    return {
        f"{path}.weight"
        for path, layer in model.named_sublayers()
        if type(layer).__module__.startswith("paddle.compat")
    }


def _plain(name: str) -> str:
    return name.replace(".scale", ".weight").replace("._weight", ".weight")


class Masks:
    """The k-th random draw of a shape is the same for either framework."""

    def __init__(self) -> None:
        self.drawn: dict[tuple, int] = {}

    def uniform(self, shape: Any) -> np.ndarray:
        shape = tuple(int(size) for size in shape)
        self.drawn[shape] = self.drawn.get(shape, 0) + 1
        return np.random.default_rng([self.drawn[shape], *shape]).random(shape)


@contextlib.contextmanager
def shared_masks() -> Iterator[None]:
    """Dropout and rand() of both frameworks draw from Masks inside."""
    masks = Masks()

    def torch_dropout(x, p=0.5, training=True, inplace=False):
        return x * torch.tensor(masks.uniform(x.shape) >= p).to(x.dtype) / (1 - p) if training and p else x

    def paddle_dropout(x, p=0.5, axis=None, training=True, mode="upscale_in_train", **_):
        upscale = mode == "upscale_in_train"
        if not training:
            return x if upscale else x * (1 - p)
        if not p:
            return x
        return x * paddle.to_tensor(masks.uniform(x.shape) >= p).astype(x.dtype) / ((1 - p) if upscale else 1)

    def torch_rand(*shape, dtype=None, **_):
        return torch.tensor(masks.uniform(shape[0] if len(shape) == 1 else shape)).to(
            dtype or torch.get_default_dtype()
        )

    def paddle_rand(shape, dtype=None, name=None):
        return paddle.to_tensor(masks.uniform(shape)).astype(dtype or paddle.get_default_dtype())

    swaps = [
        (torch.nn.functional, "dropout", torch_dropout),
        (paddle.nn.functional, "dropout", paddle_dropout),
        (torch, "rand", torch_rand),
        (paddle, "rand", paddle_rand),
    ]
    kept = [getattr(owner, name) for owner, name, _ in swaps]
    for owner, name, new in swaps:
        setattr(owner, name, new)
    try:
        yield
    finally:
        for (owner, name, _), old in zip(swaps, kept, strict=True):
            setattr(owner, name, old)


def cast(tree: Any, dtype: str) -> Any:
    def one(leaf):
        return leaf.astype(dtype) if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f" else leaf

    return map_tree(one, tree)


def gap(one: Any, two: Any) -> float:
    """Largest difference over the larger of the second's scale and 1e-3; inf for NaN or other shapes."""
    pairs = list(zip(leaves(one), leaves(two), strict=False))
    if len(leaves(one)) != len(leaves(two)):
        return np.inf
    worst = 0.0
    for a, b in ((np.asarray(a), np.asarray(b)) for (_, a), (_, b) in pairs):
        if a.shape != b.shape:
            return np.inf
        if a.size:
            scale = max(float(np.abs(b).max()), 1e-3)
            here = float(np.abs(a.astype("float64") - b.astype("float64")).max()) / scale
            worst = max(worst, here if np.isfinite(here) else np.inf)
    return worst


class Side:
    """One recipe's model with what is asked of it."""

    def __init__(self, recipe: Recipe, framework: str, dtype: str) -> None:
        self.recipe, self.framework, self.dtype = recipe, framework, dtype
        (paddle.seed if framework == "paddle" else torch.manual_seed)(7)
        self.model = recipe.model()

    def tensors(self, tree: Any) -> Any:
        return to_tensors(self.framework, cast(tree, self.dtype))

    def evaluate(self) -> None:
        """Evaluation mode, but for recurrent layers (here without dropout): Paddle's have no backward in it."""
        self.model.eval()
        for layer in self.model.sublayers() if self.framework == "paddle" else ():
            if isinstance(layer, paddle.nn.layer.rnn.RNNBase):
                layer.train()

    def outputs(self, batch: dict) -> Any:
        return self.recipe.forward(self.model, self.tensors(batch["inputs"]))

    def losses(self, outputs: Any, batch: dict) -> Any:
        assert self.recipe.loss is not None
        return self.recipe.loss(outputs, self.tensors(batch["targets"]))

    def backward(self, batch: dict) -> None:
        losses = self.losses(self.outputs(batch), batch)
        (losses["total"] if isinstance(losses, dict) else losses).backward()

    def gradients(self) -> dict[str, np.ndarray]:
        """By name and in the layout of ``torch_tensors``; zeros where there is none."""
        if self.framework == "paddle":
            tensors = paddle_tensors(self.model)
            return self._arrays(
                {n: paddle.zeros_like(p) if p.grad is None else p.grad for n, p in tensors.items()}
            )
        swapped = {}
        for name, p in self.model.named_parameters():
            swapped[name] = p.data
            p.data = torch.zeros_like(p) if p.grad is None else p.grad
        found = self.state()
        for name, p in self.model.named_parameters():
            p.data = swapped[name]
        for name, array in torch_tensors(self.model).items():
            if name in dict(self.model.named_buffers()) or name.endswith(("._mean", "._variance")):
                found[name] = np.zeros_like(array)
        return found

    def state(self) -> dict[str, np.ndarray]:
        if self.framework == "paddle":
            return self._arrays(paddle_tensors(self.model))
        return {name: array.copy() for name, array in torch_tensors(self.model).items()}

    def _arrays(self, tensors: dict[str, paddle.Tensor]) -> dict[str, np.ndarray]:
        turned = torch_layout(self.model)
        return {n: (t.numpy().T if n in turned else t.numpy()).copy() for n, t in tensors.items()}

    def rates(self, count: int, per_epoch: int) -> list[float]:
        """The learning rate of ``count`` steps with a schedule stepped as the recipe says."""
        assert self.recipe.optimizer is not None
        optimizer, schedule = self.recipe.optimizer(self.model)
        found = []
        for step in range(1, count + 1):
            if self.framework == "paddle":
                found.append(float(optimizer.get_lr()))
            else:
                found.append(float(optimizer.param_groups[-1]["lr"]))
                optimizer.step()
            if schedule is not None and (self.recipe.schedule_every == "step" or step % per_epoch == 0):
                schedule.step()
        return found

    def train(self, batches: list[dict]) -> list[dict[str, np.ndarray]]:
        """The state after each step of plain training, evaluation mode (no dropout, fixed norms)."""
        assert self.recipe.optimizer is not None
        optimizer, schedule = self.recipe.optimizer(self.model)
        self.evaluate()
        clear = optimizer.clear_grad if self.framework == "paddle" else optimizer.zero_grad
        averaged = copy.deepcopy(self.model)
        states, every = [], self.recipe.accumulate
        for index, batch in enumerate(batches):
            losses = self.losses(self.outputs(batch), batch)
            total = losses["total"] if isinstance(losses, dict) else losses
            (total / every).backward()
            if (index + 1) % every == 0:
                optimizer.step()
                clear()
                if schedule is not None and self.recipe.schedule_every == "step":
                    schedule.step()
                if self.recipe.average is not None:
                    with paddle.no_grad(), torch.no_grad():
                        self.recipe.average(averaged, self.model, len(states) + 1)
                states.append(self.state())
        if self.recipe.average is not None:
            named = (paddle_tensors if self.framework == "paddle" else torch_tensors)(averaged)
            states.append({name: np.asarray(tensor).copy() for name, tensor in named.items()})
        return states


def observe(port_recipe: Recipe, reference_recipe: Recipe, dtype: str = "float64") -> dict[str, float]:
    """Per stage the largest relative difference; infinite where shapes, counts or names differ.

    ``initialisation`` is the largest ratio of deviations (as |log|) and of constants, and so is never 0.
    """
    with default_dtype(dtype), paddle.utils.unique_name.guard():
        return _observe(port_recipe, reference_recipe, dtype)


def _observe(port_recipe: Recipe, reference_recipe: Recipe, dtype: str) -> dict[str, float]:
    found: dict[str, float] = {}
    port, reference = Side(port_recipe, "paddle", dtype), Side(reference_recipe, "torch", dtype)
    drawn = reference.state(), port.state()
    names = carry_weights(reference.model, port.model)
    missing = len(drawn[0]) - len(names) or len(drawn[1]) - len(names)
    settings = [
        getattr(port_recipe, key) == getattr(reference_recipe, key)
        for key in ("schedule_every", "accumulate")
    ]
    trained = [
        not paddle_tensors(port.model)[names[n]].stop_gradient for n, p in _trainable(reference) if n in names
    ]
    found["configuration"] = np.inf if missing or not all(settings) or not all(trained) else 0.0
    buffers = {n for n in names if n.endswith(("._mean", "._variance"))} | dict(
        reference.model.named_buffers()
    ).keys()
    found["initialisation"] = max(
        (
            (gap if name in buffers else _initial_gap)(drawn[1][place], drawn[0][name])
            for name, place in names.items()
        ),
        default=0.0,
    )
    for stage, part in (("eval_data", "eval_data"), ("train_data", "train_data")):
        ours, theirs = (list(getattr(r, part)()) for r in (port_recipe, reference_recipe))
        found[stage] = gap(ours, theirs)
    batches, trains = list(reference_recipe.eval_data()), list(reference_recipe.train_data())
    for side in (port, reference):
        side.evaluate()
    ours, theirs = port.outputs(batches[0]), reference.outputs(batches[0])
    found["forward"] = gap(to_arrays(ours), to_arrays(theirs))
    found["metric"] = _metric_gap(port_recipe, reference_recipe, reference, batches)
    given = to_arrays(theirs)
    found["loss"] = gap(
        *(to_arrays(side.losses(side.tensors(given), batches[0])) for side in (port, reference))
    )
    try:
        found.update(_learning(port, reference, names, trains, batches))
    except (
        ValueError,
        RuntimeError,
        TypeError,
    ) as error:  # a port that cannot run at all is wrong all the same
        found.update({"backward": np.inf, "error": np.inf})
        print(f"  the port raised {type(error).__name__}: {str(error).strip().splitlines()[-1][:150]}")
    return found


def _trainable(reference: Side) -> list[tuple[str, Any]]:
    return [(name, p) for name, p in reference.model.named_parameters() if p.requires_grad]


def _learning(
    port: Side, reference: Side, names: dict[str, str], trains: list, batches: list
) -> dict[str, float]:
    found = {}
    for side in (port, reference):
        side.backward(trains[0])
    slopes = reference.gradients(), port.gradients()
    found["backward"] = max(gap(slopes[1][place], slopes[0][name]) for name, place in names.items())
    for side in (port, reference):
        (port.model.clear_gradients if side is port else reference.model.zero_grad)()
        side.model.train()
    made = []
    for side in (port, reference):
        with shared_masks():
            made.append(to_arrays(side.outputs(trains[0])))
    found["training_mode"] = gap(made[0], made[1])
    after = reference.state(), port.state()
    for name, place in names.items():
        found["training_mode"] = max(
            found["training_mode"], _buffer_gap(place, after[1][place], after[0][name], trains)
        )
    carry_weights(reference.model, port.model)
    ours, theirs = (side.rates(12, 3) for side in (port, reference))
    found["learning_rate"] = float(
        np.max(np.abs(np.array(ours) - theirs) / np.maximum(np.abs(theirs), 1e-12))
    )
    names = carry_weights(reference.model, port.model)
    steps = [side.train([*trains, *trains]) for side in (port, reference)]
    found["training_steps"] = max(
        (
            gap(our[place], their[name])
            for our, their in zip(*steps, strict=False)
            for name, place in names.items()
        ),
        default=0.0,
    )
    return found


def _buffer_gap(place: str, ours: np.ndarray, theirs: np.ndarray, batches: list) -> float:
    """Running variances are biased in Paddle and unbiased in torch: n/(n-1) may explain up to a quarter."""
    if place.endswith("_variance"):
        return max(0.0, gap(ours, theirs) - 0.25)
    return gap(ours, theirs)


def _metric_gap(port: Recipe, reference: Recipe, side: Side, batches: list) -> float:
    assert port.metric is not None and reference.metric is not None
    metrics = port.metric(), reference.metric()
    for batch in batches:
        outputs = to_arrays(side.outputs(batch))
        for metric in metrics:
            metric.update(outputs, batch["targets"])
    ours, theirs = (metric.figures() for metric in metrics)
    return gap(ours, theirs)


def _initial_gap(ours: np.ndarray, theirs: np.ndarray) -> float:
    if ours.size == 1:
        return 0.0
    if theirs.std() == 0 or ours.std() == 0:
        return 0.0 if np.allclose(ours, theirs, atol=1e-6) else np.inf
    # 4.4 standard errors of log(std) for a normal sample; what is beyond is a real difference
    noise = 4.4 * np.sqrt(1.0 / ours.size)
    return max(0.0, abs(float(np.log(ours.std() / theirs.std()))) - noise)


ORDER = (
    "configuration",
    "initialisation",
    "eval_data",
    "train_data",
    "forward",
    "metric",
    "loss",
    "backward",
    "learning_rate",
    "training_mode",
    "training_steps",
)
BOUND = 1e-8
FRAMEWORKS_OWN = {
    ("*", "training_steps"): 1e-6,  # Paddle keeps the learning rate in float32
    ("*", "training_mode"): 1e-6,  # and batch norm's momentum
    ("cnn", "loss"): 1e-7,  # and label smoothing,
    ("cnn", "backward"): 1e-7,
    ("mobilenet_v2", "backward"): 1e-7,  # and hard sigmoid's slope,
    ("unet", "forward"): 1e-6,  # and the places of an interpolation with align_corners
    ("unet", "backward"): 1e-6,
    ("unet", "training_steps"): 1e-5,
    ("lstm", "training_steps"): 1e-4,  # torch adds 1e-6 to the norm it clips by
}
"""Largest difference of a faithful pair in float64, where it is more than BOUND, by architecture and stage."""
SEEN_IN_STEPS = {"optimizer", "regularisation", "training_steps"}
"""Stages that show here in the weights after a few steps."""


def complaint(case: Any) -> str | None:
    """None if the pair does what the catalogue says: all equal, or the bug's stage the first that differs."""
    found = observe(case.port(), case.reference())
    beyond = [stage for stage in ORDER if found.get(stage, 0.0) > bound(case.architecture, stage)]
    figures = {stage: float(f"{found[stage]:.2g}") for stage in beyond}
    expected = getattr(case, "stages", None)
    if expected is None:
        return f"differs: {figures}" if beyond else None
    if not beyond:
        return "changes nothing"
    shown = expected | ({"training_steps"} if expected & SEEN_IN_STEPS else set())
    shown |= {"backward"} if "higher_order" in expected else set()
    return None if beyond[0] in shown else f"shows first in {beyond[0]}: {figures}"


def bound(architecture: str, stage: str) -> float:
    """The largest difference of a faithful pair."""
    return FRAMEWORKS_OWN.get((architecture, stage), FRAMEWORKS_OWN.get(("*", stage), BOUND))
