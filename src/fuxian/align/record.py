"""Runs the parts of a recipe and records what they did.

The reference is recorded first, with its own weights and batches. The port is recorded with ``inputs``, the
reference's recording: it is given the same weights (mapped by name and layout), batches, outputs and gradients,
and the same random draws, so that each stage compares one part and nothing else.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import itertools
import os
import platform
import random
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fuxian.align import linking, mapping
from fuxian.align.draws import SEED, Draws
from fuxian.align.recording import Recording, RecordingWriter, array_hash
from fuxian.align.stage_names import STAGES
from fuxian.align.tracing import Call, Tracer, of_a_library
from fuxian.errors import InputError
from fuxian.recipe import (
    Batch,
    Recipe,
    Tree,
    framework_of,
    leaves,
    map_tree,
    named_optimizers,
    to_tensors,
    update_metric,
)
from fuxian.training.step import Trainer, move_schedule
from fuxian.weights import Overrides

DATA_BATCHES = 8
DATA_BYTES = 64 * 2**20
METRIC_BATCHES = 4
TRAINING_STEPS = 4
EPOCH_OF = 2
"""Steps that count as an epoch where the schedule is stepped per epoch."""
GRADIENT_FACTORS = ((1.0, 1.0, -30.0, 0.03, 1.0), (1e-6, -1e-6))
"""What the gradients are multiplied by, step by step: the first trial shows clipping and momentum, the second, from
fresh states, the optimizer's epsilon."""
ISOLATED_RATE = 0.01
"""The rate with which the optimizer is stepped alone: its schedule, which may begin at zero, is another stage."""
TICKS = (200, 20_000)
"""Fewest and most ticks of a schedule that are recorded."""
INITIAL_ELEMENTS = 8192
"""Initial values kept of one parameter; small ones are drawn again until there are enough for a test."""

SIDES = {"paddle": "fuxian.align.paddle_side", "torch": "fuxian.align.torch_side"}


class Sink(Protocol):
    """Where tensors of a run go."""

    def put(self, name: str, array: np.ndarray, *, keep: bool = True, turned: bool = False) -> None: ...


class RoundingSink:
    """Compares a run in the other precision with what the first one recorded, and keeps the errors alone."""

    def __init__(self, recorded: RecordingWriter) -> None:
        self.recorded = recorded
        self.errors: dict[str, float] = {}

    def put(self, name: str, array: np.ndarray, *, keep: bool = True, turned: bool = False) -> None:
        del keep, turned
        error = self.recorded.error(name, array)
        if error is not None:
            self.errors[name] = error


@dataclass
class Subject:
    """One side being recorded: the framework's module, the recipe, the initial weights, the shared inputs."""

    side: Any
    recipe: Recipe
    stages: Sequence[str]
    keep_values: bool | frozenset[str]
    inputs: Recording | None = None
    links: mapping.Links | None = None
    batches: dict[str, list[Batch]] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Of every parameter and buffer."""
    weight: Callable[[str], np.ndarray] = field(default=lambda name: np.empty(0))
    """Reads an initial weight from disk: held here, all of them would be one more model in memory."""
    fresh: Any = None
    """The model that was described, unused so far."""
    overrides: Overrides | None = None
    ends: tuple[Call, str] | None = None
    """A call whose backward pass is known to end the process, and why."""

    def keeps(self, identity: str) -> bool:
        """Whether the elements of a tensor inside the model are kept."""
        return self.keep_values if isinstance(self.keep_values, bool) else identity in self.keep_values

    def turned(self, name: str) -> bool:
        """Whether the reference lays the parameter out transposed."""
        links = self.links.pairs if self.links is not None else []
        return any(port.tensor == name and port.layout != reference.layout for port, reference in links)


def _seed(number: int) -> None:
    """Seed Python, numpy, and the frameworks that are in use."""
    random.seed(number)
    np.random.seed(number)
    for framework, side in SIDES.items():
        if framework in sys.modules:
            importlib.import_module(side).seed(number)


def _seeded_model(recipe: Recipe, number: int = SEED) -> Any:
    """A new model under a seed. One that the recipe itself sets for a framework while it builds is left out: initial
    values are compared as distributions, and one draw told twelve times is not one."""
    _seed(number)
    with contextlib.ExitStack() as stack:
        for framework, side in SIDES.items():
            if framework in sys.modules:
                stack.enter_context(importlib.import_module(side).building())
        return recipe.model()


def record(
    recipe: Recipe,
    folder: Path | str,
    *,
    inputs: Recording | None = None,
    stages: Sequence[str] = STAGES,
    dtype: str | None = None,
    oracle: bool = True,
    small: bool = False,
    keep_values: bool | frozenset[str] = True,
    source: str = "",
    overrides: Overrides | None = None,
) -> None:
    """Record a reference, or with ``inputs`` (the reference's recording) a port, into a new folder.

    ``dtype`` is the precision of the run, float64 if none is named, or that of ``inputs``; with
    ``oracle``, a second run in the other precision measures how much
    of each figure is rounding. ``small`` keeps sketches of large tensors only; ``keep_values=False`` does so for
    what lies inside the model, and keeps outputs, gradients and weights; a set keeps the tensors it names there.
    ``overrides``, a mapping file, names tensors of the port and of the reference that belong together.

    Raises InputError when the reference gives no batches or no outputs, or when the port's weights cannot be told from
    the reference's.
    """
    _imported_first(inputs)
    model = _seeded_model(recipe)
    side = importlib.import_module(SIDES[framework_of(model)])
    chosen = precision(dtype, inputs)
    with (
        RecordingWriter(folder, framework=side.NAME, small=small) as writer,
        side.installed(),
        _heap_at_rest(),
    ):
        subject = Subject(side, recipe, stages, keep_values, inputs, fresh=model, overrides=overrides)
        writer.data |= {
            "source": source,
            "dtype": chosen,
            "higher_order": recipe.higher_order,
            "settings": {"schedule_every": recipe.schedule_every, "accumulate": recipe.accumulate},
            "parts": [name for name in PARTS if getattr(recipe, name) is not None],
            "environment": environment(side),
            "recorded_stages": list(stages),
        }
        _describe(subject, model, writer)
        writer.data["random_buffers"] = _random_buffers(subject, model)
        if inputs is not None:
            _take_batches(subject)
        _give_weights(subject, model, writer, chosen)
        _guarded(subject, writer, "data", lambda: _record_data(subject, writer))
        if inputs is None:
            _take_batches(subject)
        _hash_inputs(subject, writer)
        del model
        _record_runs(subject, writer, chosen, oracle)
        if "initialisation" in stages:
            _guarded(subject, writer, "initialisation", lambda: _record_initialisation(subject, writer))


@contextlib.contextmanager
def _heap_at_rest() -> Iterator[None]:
    """Keeps the garbage collector from what was there before: two frameworks are a million objects, and a recording
    makes enough new ones that they would be searched again and again."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


PARTS = ("train_data", "eval_data", "loss", "optimizer", "metric", "evaluated", "average", "step")


def precision(dtype: str | None, recorded: Recording | None) -> str:
    """What to run in: that of the recording that the run goes by, else what was asked for, else float64.

    Raises InputError for another name, or where a recording was made in another precision.
    """
    if dtype not in (None, "float64", "float32"):
        raise InputError(f"dtype {dtype!r} is not one alignment runs in; use float64 or float32.")
    if recorded is None:
        return dtype or "float64"
    given = str(recorded.data["dtype"])
    if dtype not in (None, given):
        raise InputError(
            f"{dtype} was asked for, and {recorded.folder} was recorded in {given}; leave the precision out, or"
            " record the reference again with it."
        )
    return given


def _imported_first(inputs: Recording | None) -> None:
    if inputs is not None and inputs.data.get("weights_from") not in (None, "own"):
        raise InputError(f"{inputs.folder}: this is a port's recording; give the reference's.")


def _record_runs(subject: Subject, writer: RecordingWriter, dtype: str, oracle: bool) -> None:
    """The run in the precision asked for, then the one that measures rounding."""
    writer.data["trace"] = {}
    _runs(subject, writer, writer, dtype)
    if not oracle or (subject.inputs is not None and dtype == "float64"):
        return
    other = "float32" if dtype == "float64" else "float64"
    sink = RoundingSink(writer)
    before = writer.data["stages"]
    writer.data["stages"] = {}
    try:
        _runs(subject, writer, sink, other)
        failed = [part["error"]["message"] for part in writer.data["stages"].values() if "error" in part]
    except InputError as error:
        failed = [str(error)]
    writer.data["stages"] = before
    writer.data["oracle"] = {"dtype": other, "failed": failed}
    writer.data["rounding"] = sink.errors


def _runs(subject: Subject, writer: RecordingWriter, sink: Sink, dtype: str) -> None:
    stages, first = set(subject.stages), sink is writer
    with subject.side.default_dtype(dtype):
        forward_given = bool(subject.batches["eval"])
        if stages & {"forward", "loss", "backward", "metric"} and forward_given:
            _guarded(
                subject, writer, "eval", lambda: _record_pass(subject, writer, sink, dtype, training=False)
            )
        if first and "loss" in stages and subject.recipe.loss is not None:
            _guarded(subject, writer, "loss", lambda: _record_loss(subject, writer, sink, dtype))
        if first and "metric" in stages and subject.recipe.metric is not None:
            _guarded(subject, writer, "metric", lambda: _record_metric(subject, writer, dtype))
        # The steps are judged by the pass: how many elements a norm averages over, which gradients are noise.
        if stages & {"training_mode", "higher_order", "training_steps"} and subject.batches["train"]:
            _guarded(
                subject, writer, "train", lambda: _record_pass(subject, writer, sink, dtype, training=True)
            )
        if subject.recipe.optimizer is None:
            return
        if "optimizer" in stages:
            _guarded(subject, writer, "optimizer", lambda: _record_optimizer(subject, writer, sink, dtype))
        if "regularisation" in stages:
            _guarded(subject, writer, "regularisation", lambda: _record_decay(subject, sink, dtype))
        if first and "learning_rate" in stages:
            _guarded(subject, writer, "learning_rate", lambda: _record_schedule(subject, writer))
        trains = subject.recipe.loss is not None or subject.recipe.step is not None
        if "training_steps" in stages and trains and subject.batches["train"]:
            _guarded(subject, writer, "training_steps", lambda: _record_steps(subject, writer, sink, dtype))


def _guarded(subject: Subject, writer: RecordingWriter, stage: str, run: Callable[[], None]) -> None:
    """Run a stage, and note how it failed: a port's failure is a divergence, a reference's leaves the stage undecided.

    A reference that gives no batches or no outputs is bad input: nothing could be compared with it.
    """
    entry = writer.data["stages"].setdefault(stage, {})
    try:
        run()
    except InputError:
        raise
    except Exception as error:
        text = said(error)
        section = getattr(error, "fuxian_section", "")
        if subject.inputs is None and (stage == "data" or (stage == "eval" and section in ("", "forward"))):
            raise InputError(f"The reference fails in {stage}: {type(error).__name__}: {text}.") from error
        ends = isinstance(error, FrameworkEndsError)
        entry["error"] = {
            "message": text if ends else f"{type(error).__name__}: {text}",
            "path": error.path if ends else getattr(error, "fuxian_path", ""),  # type: ignore[attr-defined]
            "section": section,
            "line": error.line if ends else _line_of(error),  # type: ignore[attr-defined]
            "defect": ends,
        }


MESSAGE = 600
"""Characters of an exception's message that are kept."""


def said(error: BaseException) -> str:
    """An exception's whole message in one line, without Paddle's stack of C++ calls and its rulers."""
    text = str(error).rpartition("Error Message Summary:")[2]
    lines = [" ".join(line.split()) for line in text.splitlines()]
    kept = " ".join(line for line in lines if line.strip("-=~^ "))
    kept = re.sub(r" \(at /[^)]*\)", "", kept)
    return kept if len(kept) <= MESSAGE else kept[:MESSAGE].rpartition(" ")[0] + " ..."


def _line_of(error: BaseException) -> str:
    lines = []
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not of_a_library(file):
            lines.append(f"{file}:{trace.tb_lineno}")
        trace = trace.tb_next
    return lines[-1] if lines else ""


def environment(side: Any) -> dict[str, Any]:
    """Versions, flags and threads of this process."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NVIDIA_TF32_OVERRIDE", "CUDA_VISIBLE_DEVICES")
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": sys.platform,
        "numpy": np.__version__,
        "seed": SEED,
        "variables": {name: os.environ[name] for name in names if name in os.environ},
        **side.environment(),
    }


# --- what the model is -------------------------------------------------------------------------------------------


def _describe(subject: Subject, model: Any, writer: RecordingWriter) -> None:
    """Module tree with settings, and the inventory of parameters and buffers."""
    side = subject.side
    writer.data["modules"] = [
        {
            "path": path,
            "class": f"{type(module).__module__}.{type(module).__name__}",
            "settings": module_settings(module),
        }
        for path, module in side.modules(model)
    ]
    first: dict[int, str] = {}
    inventory = []
    for name, tensor, kind in side.tensors(model):
        same_as = first.setdefault(id(tensor), name)
        inventory.append(
            {
                "name": name,
                "kind": kind,
                "shape": [int(size) for size in tensor.shape],
                "dtype": side.element_type(tensor),
                "trainable": kind == "parameter" and side.trainable(tensor),
                "same_as": None if same_as == name else same_as,
            }
        )
    writer.data["parameters"] = inventory
    writer.data["tree"] = mapping.tree_to_json(model)


def module_settings(module: Any) -> dict[str, Any]:
    """A module's plain attributes: numbers, texts, booleans, and short tuples of them."""
    plain = (bool, int, float, str, type(None))
    ignored = {"training", "_full_name", "name", "_built", "_init_in_dynamic_mode", "_cast_to_low_precision"}
    found = {}
    for name, value in vars(module).items():
        if name in ignored or name.startswith("__"):
            continue
        if isinstance(value, plain) or (
            isinstance(value, (tuple, list)) and len(value) <= 8 and all(isinstance(v, plain) for v in value)
        ):
            found[name] = list(value) if isinstance(value, tuple) else value
        elif callable(value) and hasattr(value, "__name__") and not hasattr(value, "parameters"):
            found[name] = value.__name__
    return found


def _random_buffers(subject: Subject, model: Any) -> list[str]:
    """Buffers that another seed makes otherwise (spectral norm's u and v): no constants that could be compared."""
    side = subject.side

    def varied(made: Any) -> dict[str, np.ndarray]:
        arrays = {name: side.to_array(t) for name, t, kind in side.tensors(made) if kind == "buffer"}
        return {
            name: np.array(a)
            for name, a in arrays.items()
            if a.size > 1 and a.dtype.kind == "f" and np.ptp(a)
        }

    first = varied(model)
    if not first:
        return []
    second = varied(_seeded_model(subject.recipe, SEED + 1))
    _seed(SEED)
    return [
        n for n, a in first.items() if n not in second or not np.array_equal(a, second[n], equal_nan=True)
    ]


def _give_weights(subject: Subject, model: Any, writer: RecordingWriter, dtype: str) -> None:
    side, inputs = subject.side, subject.inputs
    listed = list(side.tensors(model))
    subject.shapes = {name: tuple(tensor.shape) for name, tensor, _ in listed}
    if inputs is None:
        hashes = {}
        subject.weight = lambda name: writer.get(f"weights/{name}")
        for name, tensor, _ in listed:
            array = side.to_array(tensor)
            hashes[name] = array_hash(array)
            writer.put(f"weights/{name}", array, whole=True)
        text = "".join(name + hashed for name, hashed in sorted(hashes.items()))
        writer.data |= {"weights_from": "own", "hashes": {"weights": _text_hash(text)}}
        return
    for name, tensor, kind in listed:
        if kind == "buffer":  # The run itself is given the reference's.
            writer.put(f"initial_buffers/{name}", side.to_array(tensor))
    tied = {p["name"]: p["same_as"] for p in writer.data["parameters"] if p["same_as"]}
    links = _links(subject, writer, tied, dtype)
    subject.links = links
    writer.data["weights_from"] = inputs.data["hashes"]["weights"]
    writer.data["links"] = links.to_json()
    own = {
        name: np.array(side.to_array(tensor))
        for name, tensor, _ in listed
        if name not in tied and _of_reference(subject, links, name) is None
    }

    def weight(name: str) -> np.ndarray:
        name = tied.get(name, name)
        return own[name] if name in own else _of_reference(subject, links, name)  # type: ignore[return-value]

    for name, _, _ in listed:
        if name in own:
            writer.put(f"weights/{name}", own[name])
        else:
            writer.put_sketch(f"weights/{name}", weight(name))
    subject.weight = weight


def _of_reference(subject: Subject, links: mapping.Links, name: str) -> np.ndarray | None:
    """The port's tensor from the reference's initial weights; None where there is none."""
    inputs = subject.inputs
    assert inputs is not None  # noqa: S101

    def theirs(other: str) -> np.ndarray | None:
        return inputs.get(f"weights/{other}") if f"weights/{other}" in inputs else None

    return links.to_port(name, theirs, subject.shapes[name])


def _links(subject: Subject, writer: RecordingWriter, tied: dict[str, str], dtype: str) -> mapping.Links:
    side, inputs = subject.side, subject.inputs
    assert inputs is not None  # noqa: S101

    def run(links: mapping.Links | None, tracer: Tracer) -> None:
        with side.default_dtype(dtype):
            model = _seeded_model(subject.recipe)
            side.adopt(model)
            if dtype == "float64":
                side.cast(model, dtype)
            for name, tensor, _ in side.tensors(model):
                given = None if links is None else _of_reference(subject, links, tied.get(name, name))
                if given is not None and given.shape == tuple(tensor.shape):
                    side.assign(tensor, given)
            _set_training(subject, model, False)
            batch = to_tensors(side.NAME, in_precision(subject.batches["eval"][0]["inputs"], dtype))
            linking.running(side, lambda: subject.recipe.forward(model, batch), model, tracer)

    trees = writer.data["tree"], inputs.data["tree"]
    return linking.choose(trees, inputs, subject.overrides, run, side)


def _hash_inputs(subject: Subject, writer: RecordingWriter) -> None:
    """What two recordings must share to be comparable: initial weights and batches of the reference."""
    if subject.inputs is not None:
        writer.data["hashes"] = dict(subject.inputs.data["hashes"])
        return
    writer.data["hashes"]["inputs"] = _text_hash(
        "".join(
            f"{kind}{i}{path}{array_hash(leaf)}"
            for kind, batches in subject.batches.items()
            for i, batch in enumerate(batches)
            for part in ("inputs", "targets")
            for path, leaf in leaves(batch.get(part, ()))
            if isinstance(leaf, np.ndarray)
        )
    )


def _text_hash(text: str) -> str:
    return array_hash(np.frombuffer(text.encode(), np.uint8))


# --- data --------------------------------------------------------------------------------------------------------


def _record_data(subject: Subject, writer: RecordingWriter) -> None:
    """Each side's own first batches; the reference's are those that both sides are run on."""
    for kind, part in (("eval", subject.recipe.eval_data), ("train", subject.recipe.train_data)):
        wanted = f"{kind}_data" in subject.stages or subject.inputs is None
        if part is None or not wanted:
            continue
        _seed(SEED)
        made = part()
        batches: list[Batch] = []
        size = 0
        limit = DATA_BATCHES if f"{kind}_data" in subject.stages else TRAINING_STEPS
        for batch in itertools.islice(made, limit):
            batches.append(_arrays(batch))
            size += sum(leaf.nbytes for _, leaf in leaves(batches[-1]) if isinstance(leaf, np.ndarray))
            if size > DATA_BYTES:
                break
        entry: dict[str, Any] = {"batches": len(batches), "whole": len(batches) < limit, "leaves": []}
        try:
            entry["length"] = len(made)  # type: ignore[arg-type]
        except TypeError:
            entry["length"] = None
        if kind == "train" and batches:
            entry["framework_random"] = _draws_from_framework(subject.side, part, batches[0])
        for i, batch in enumerate(batches):
            for name, leaf in leaves({key: batch[key] for key in ("inputs", "targets") if key in batch}):
                if isinstance(leaf, np.ndarray) and leaf.dtype.kind in "biuf":
                    writer.put(f"data/{kind}/{i}/{name}", leaf, whole=True)
                else:
                    entry["leaves"].append([i, name, repr(leaf)[:80]])
        writer.data["stages"][f"{kind}_data"] = entry
        if subject.inputs is None:
            subject.batches[kind] = batches
            writer.data.setdefault("batches", {})[kind] = [_structure(batch) for batch in batches]


def _draws_from_framework(side: Any, part: Callable[[], Iterable[Batch]], first: Batch) -> bool:
    """Whether another seed of the framework alone gives another first batch: then draws cannot be shared."""
    _seed(SEED)
    side.seed(SEED + 1)
    again = _arrays(next(iter(part())))
    return any(
        isinstance(one, np.ndarray) and not np.array_equal(one, two)
        for (_, one), (_, two) in zip(leaves(first), leaves(again), strict=False)
    )


def _arrays(batch: Batch) -> Batch:
    return map_tree(lambda leaf: np.array(leaf) if isinstance(leaf, np.generic) else leaf, dict(batch))


def _structure(batch: Batch) -> Any:
    """The batch's tree with ``{"array": name}`` for each leaf."""
    names = iter(leaves({key: batch[key] for key in ("inputs", "targets") if key in batch}))

    def mark(leaf: Any) -> Any:
        name, _ = next(names)
        return {"array": name} if isinstance(leaf, np.ndarray) else {"value": leaf}

    return _tree_to_json(map_tree(mark, {key: batch[key] for key in ("inputs", "targets") if key in batch}))


def _tree_to_json(tree: Tree) -> Any:
    if isinstance(tree, dict) and set(tree) in ({"array"}, {"value"}):
        return tree
    if isinstance(tree, dict):
        return {"dict": {key: _tree_to_json(part) for key, part in tree.items()}}
    return {"list" if isinstance(tree, list) else "tuple": [_tree_to_json(part) for part in tree]}


def _tree_from_json(tree: Any, get: Callable[[str], np.ndarray]) -> Tree:
    if "array" in tree:
        return get(tree["array"])
    if "value" in tree:
        return tree["value"]
    if "dict" in tree:
        return {key: _tree_from_json(part, get) for key, part in tree["dict"].items()}
    parts = tree.get("list", tree.get("tuple"))
    made = [_tree_from_json(part, get) for part in parts]
    return made if "list" in tree else tuple(made)


def _getter(recorded: Any, prefix: str, between: str = "") -> Callable[[str], np.ndarray]:
    """Reads tensors below a prefix; ``between`` stands before a name that is not empty."""
    return lambda name: recorded.get(f"{prefix}{between}{name}" if name else prefix)


def _take_batches(subject: Subject) -> None:
    """Eval and train batches that both sides run on; one kind stands in for the other where it is missing."""
    if subject.inputs is not None:
        recorded = subject.inputs
        for kind, structures in recorded.data.get("batches", {}).items():
            subject.batches[kind] = [
                _tree_from_json(tree, _getter(recorded, f"data/{kind}/{i}/"))
                for i, tree in enumerate(structures)
            ]
    for kind, other in (("eval", "train"), ("train", "eval")):
        if not subject.batches.get(kind):
            subject.batches[kind] = subject.batches.get(other) or []


def in_precision(tree: Tree, dtype: str) -> Tree:
    """Floating leaves in the precision of the run."""
    return map_tree(
        lambda leaf: leaf.astype(dtype) if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f" else leaf,
        tree,
    )


# --- running the model -------------------------------------------------------------------------------------------


def _built(subject: Subject, dtype: str) -> Any:
    """A model in the precision of the run, with the shared initial weights."""
    fresh, subject.fresh = subject.fresh, None
    if fresh is not None and dtype == "float32" and subject.inputs is None:  # It has these weights already.
        subject.side.adopt(fresh)
        _seed(SEED)
        return fresh
    model = fresh if fresh is not None and dtype == "float32" else _seeded_model(subject.recipe)
    del fresh
    subject.side.adopt(model)
    if dtype == "float64":
        subject.side.cast(model, dtype)
    for name, tensor, _ in subject.side.tensors(model):
        weight = subject.weight(name)
        if (
            tuple(tensor.shape) == weight.shape
        ):  # Paddle's recurrent layers list a buffer that was never filled.
            subject.side.assign(tensor, weight)
    _seed(SEED)
    return model


def _set_training(subject: Subject, model: Any, training: bool) -> None:
    """Training or evaluation mode. Recurrent layers draw their dropout inside one kernel, where no mask can be
    shared: theirs is switched off. They stay in training mode, without which Paddle's have no backward."""
    subject.side.set_training(model, training)
    for module in subject.side.recurrent(model):
        module.dropout = 0.0
        module.training = True


def _total(losses: Any) -> Any:
    return losses["total"] if isinstance(losses, dict) else losses


def _named(losses: Any) -> dict[str, Any]:
    return losses if isinstance(losses, dict) else {"total": losses}


def _record_pass(
    subject: Subject, writer: RecordingWriter, sink: Sink, dtype: str, *, training: bool
) -> None:
    """One forward, loss and backward, in evaluation or training mode, with everything inside it followed."""
    side, recipe = subject.side, subject.recipe
    prefix = "train" if training else "eval"
    batch = subject.batches[prefix][0]
    model = _built(subject, dtype)
    _set_training(subject, model, training)
    first = sink is writer
    tracer = None
    if first:
        tracer = Tracer(
            side,
            lambda name, array: writer.put(f"{prefix}/values/{name}", array, keep=subject.keeps(name)),
            lambda name, array: writer.put(
                f"{prefix}/value_gradients/{name}", array, keep=subject.keeps(name)
            ),
            {id(module): path for path, module in reversed(side.modules(model))},
        )
        for name, tensor, _ in reversed(list(side.tensors(model))):
            tracer.tag(tensor, f"parameters.{name}")
    inputs = to_tensors(side.NAME, in_precision(batch["inputs"], dtype))
    targets = to_tensors(side.NAME, in_precision(batch.get("targets", ()), dtype))
    for name, leaf in leaves({"inputs": inputs, "targets": targets}):
        if tracer is not None and side.is_tensor(leaf):
            tracer.tag(leaf, name)
            writer.put(f"{prefix}/values/{name}", side.to_array(leaf), keep=subject.keeps(name))
    side.clear_gradients(model)
    section = "forward"
    draws = _shared_draws(subject, prefix)
    try:
        with _watching(side, tracer, draws):
            outputs = recipe.forward(model, inputs)
            _put_tree(side, sink, f"{prefix}/outputs", outputs)
            if tracer is not None:
                writer.data["trace"].setdefault(prefix, {})["outputs"] = {
                    path: tracer.identity(leaf) for path, leaf in leaves(outputs) if side.is_tensor(leaf)
                }
                tracer.section = "loss"
            section = "loss"
            wants_loss = {"loss", "backward", "training_mode", "higher_order", "training_steps"} & set(
                subject.stages
            )
            losses = recipe.loss(outputs, targets) if recipe.loss is not None and wants_loss else None
        if losses is not None:
            for name, value in _named(losses).items():
                sink.put(f"{prefix}/losses/{name}", np.asarray(side.to_array(value), dtype=np.float64))
            if tracer is not None:
                tracer.collect_gradients = True
            section = "backward"
            if training or {"backward", "higher_order"} & set(subject.stages):
                subject.ends = subject.ends or (side.ends_process(tracer) if tracer is not None else None)
                _survive(subject)
                _total(losses).backward()
    except Exception as error:
        error.fuxian_path = tracer.path if tracer is not None else ""  # type: ignore[attr-defined]
        error.fuxian_section = section  # type: ignore[attr-defined]
        raise
    finally:
        if tracer is not None:
            writer.data["trace"].setdefault(prefix, {}).update(tracer.to_json())
            writer.data.setdefault("draws", {})[prefix] = draws.made
    _put_gradients(side, sink, model, prefix, training)
    if first and training and recipe.higher_order and losses is not None:
        entry = writer.data["stages"]["train"]
        entry["slope"] = _slope(subject, batch, dtype, model)


def _survive(subject: Subject) -> None:
    """Raises where a call was met whose backward pass is known to end the process."""
    if subject.ends is not None:
        call, reason = subject.ends
        raise FrameworkEndsError(reason, call.path, call.line)


class FrameworkEndsError(Exception):
    """The framework would end the process here."""

    def __init__(self, reason: str, path: str, line: str) -> None:
        super().__init__(reason)
        self.path, self.line = path, line


def _shared_draws(subject: Subject, part: str) -> Draws:
    """Fresh draws, which follow those of the reference in the same part of its run."""
    made = subject.inputs.data.get("draws", {}) if subject.inputs is not None else {}
    return Draws(like=made.get(part))


def _slope(subject: Subject, batch: Batch, dtype: str, model: Any) -> dict[str, float]:
    """The loss's slope along a seeded direction, from the gradients and by central differences.

    They differ where the gradient is not the derivative of what was computed: terms of second order are missing,
    or a part was detached.
    """
    side, recipe = subject.side, subject.recipe
    gradients = {}
    for name, tensor, kind in side.tensors(model):
        gradient = side.gradient(tensor) if kind == "parameter" and side.trainable(tensor) else None
        if gradient is not None:
            gradients[name] = np.array(gradient, dtype=np.float64)
    norm = float(np.sqrt(sum((g**2).sum() for g in gradients.values()))) or 1.0
    length = 1e-5 if dtype == "float64" else 1e-2
    values = []
    for sign in (1.0, -1.0):
        moved = _built(subject, dtype)
        _set_training(subject, moved, True)
        for name, tensor, _ in side.tensors(moved):
            if name in gradients:
                side.assign(tensor, side.to_array(tensor) + sign * length * gradients[name] / norm)
        with side.sharing_draws(Draws(), None):
            outputs = recipe.forward(moved, to_tensors(side.NAME, in_precision(batch["inputs"], dtype)))
            targets = to_tensors(side.NAME, in_precision(batch.get("targets", ()), dtype))
            values.append(side.scalar(_total(recipe.loss(outputs, targets))))  # type: ignore[misc]
    differences = (values[0] - values[1]) / (2 * length)
    return {"gradient": norm, "differences": differences, "error": abs(differences - norm) / norm}


def _put_gradients(side: Any, sink: Sink, model: Any, prefix: str, training: bool) -> None:
    """Each parameter's gradient and, after training, each buffer; a tied tensor once."""
    seen = set()
    for name, tensor, kind in side.tensors(model):
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        if kind == "buffer":
            if training:
                sink.put(f"{prefix}/buffers/{name}", side.to_array(tensor))
            continue
        gradient = side.gradient(tensor)
        if gradient is not None:
            sink.put(f"{prefix}/gradients/{name}", gradient)


def _watching(side: Any, tracer: Tracer | None, draws: Draws) -> Any:
    from contextlib import ExitStack

    stack = ExitStack()
    stack.enter_context(side.sharing_draws(draws, tracer))
    if tracer is not None:
        stack.enter_context(side.following(tracer))
    return stack


def _put_tree(side: Any, sink: Sink, prefix: str, tree: Tree) -> None:
    for path, leaf in leaves(tree):
        if side.is_tensor(leaf):
            sink.put(f"{prefix}.{path}" if path else prefix, side.to_array(leaf))


def _reference_outputs(subject: Subject, own: Tree, prefix: str, dtype: str) -> Tree | None:
    """The outputs' tree with the reference's elements; None where the leaves are not the same."""
    recorded = subject.inputs
    if recorded is None:
        return own
    paths = [path for path, leaf in leaves(own) if isinstance(leaf, np.ndarray)]
    names = [f"{prefix}.{path}" if path else prefix for path in paths]
    if any(name not in recorded for name in names):
        return None
    wanted = iter(names)
    return map_tree(
        lambda leaf: (
            in_precision(recorded.get(next(wanted)), dtype) if isinstance(leaf, np.ndarray) else leaf
        ),
        own,
    )


def _outputs_of(subject: Subject, batch: Batch, dtype: str) -> Tree:
    """The outputs in evaluation mode, as arrays."""
    side = subject.side
    model = _built(subject, dtype)
    _set_training(subject, model, False)
    with side.sharing_draws(Draws(), None):
        outputs = subject.recipe.forward(model, to_tensors(side.NAME, in_precision(batch["inputs"], dtype)))
    return map_tree(lambda leaf: np.array(side.to_array(leaf)) if side.is_tensor(leaf) else leaf, outputs)


def _record_loss(subject: Subject, writer: RecordingWriter, sink: Sink, dtype: str) -> None:
    """The loss alone, of the reference's outputs."""
    side = subject.side
    structure = (subject.inputs.data if subject.inputs is not None else writer.data).get("outputs")
    if structure is None:
        own = _outputs_of(subject, subject.batches["eval"][0], dtype)
        structure = _tree_to_json(_marked(own))
        writer.data["outputs"] = structure
    source: Any = subject.inputs if subject.inputs is not None else writer
    outputs = _tree_from_json(structure, _getter(source, "eval/outputs", "."))
    tracer = Tracer(
        side,
        lambda name, array: writer.put(f"loss/values/{name}", array, keep=subject.keeps(name)),
        lambda name, array: writer.put(f"loss/value_gradients/{name}", array, keep=subject.keeps(name)),
    )
    tracer.section = "loss"
    given = to_tensors(side.NAME, in_precision(outputs, dtype))
    targets = to_tensors(side.NAME, in_precision(subject.batches["eval"][0].get("targets", ()), dtype))
    for name, leaf in leaves({"outputs": given, "targets": targets}):
        if side.is_tensor(leaf):
            tracer.tag(leaf, name)
            writer.put(f"loss/values/{name}", side.to_array(leaf), keep=subject.keeps(name))
    try:
        with _watching(side, tracer, Draws()):
            losses = subject.recipe.loss(given, targets)  # type: ignore[misc]
    finally:
        writer.data["trace"]["loss"] = tracer.to_json()
    for name, value in _named(losses).items():
        sink.put(f"loss/losses/{name}", np.asarray(side.to_array(value), dtype=np.float64))


def _marked(own: Tree) -> Tree:
    """The outputs' tree with each array's path in its place."""
    paths = iter([path for path, _ in leaves(own)])

    def mark(leaf: Any) -> dict[str, Any]:
        path = next(paths)
        return {"array": path} if isinstance(leaf, np.ndarray) else {"value": leaf}

    return map_tree(mark, own)


def _record_metric(subject: Subject, writer: RecordingWriter, dtype: str) -> None:
    """The metric's figures of the reference's outputs over several batches, the last one short where it is."""
    batches = subject.batches["eval"]
    chosen = sorted({*range(min(len(batches), METRIC_BATCHES - 1)), len(batches) - 1})
    metric = subject.recipe.metric()  # type: ignore[misc]
    source: Any = subject.inputs if subject.inputs is not None else writer
    structures = (subject.inputs.data if subject.inputs is not None else writer.data).setdefault(
        "metric_outputs", {}
    )
    for i in chosen:
        if subject.inputs is None:
            own = _outputs_of(subject, batches[i], dtype)
            structures[str(i)] = _tree_to_json(_marked(own))
            for path, leaf in leaves(own):
                if isinstance(leaf, np.ndarray):
                    writer.put(f"metric/{i}/outputs.{path}" if path else f"metric/{i}/outputs", leaf)
        outputs = _tree_from_json(structures[str(i)], _getter(source, f"metric/{i}/outputs", "."))
        update_metric(metric, outputs, {"targets": (), **batches[i]})
    figures = {str(name): float(value) for name, value in metric.figures().items()}
    writer.data["stages"]["metric"]["figures"] = figures


# --- optimizer, schedule, training ---------------------------------------------------------------------------------


def _optimizers(made: Any) -> dict[str, tuple[Any, Any]]:
    return {name if isinstance(made, dict) else "": one for name, one in named_optimizers(made).items()}


def _names_of(side: Any, model: Any) -> dict[int, str]:
    names: dict[int, str] = {}
    for name, tensor, _ in side.tensors(model):
        names.setdefault(id(tensor), name)
    return names


def _gradients(subject: Subject) -> Callable[[str, tuple[int, ...]], np.ndarray | None]:
    """The gradient that each parameter is given in the optimizer stage: seeded by the reference's name of it."""

    def reference_gradient(name: str, shape: tuple[int, ...]) -> np.ndarray:
        seeded = np.random.Generator(np.random.PCG64([SEED, *name.encode()]))
        return seeded.standard_normal(shape) * 0.1

    if subject.links is None or subject.inputs is None:
        return reference_gradient
    inventory = {
        p["name"]: tuple(p["shape"]) for p in subject.inputs.data["parameters"] if p["kind"] == "parameter"
    }
    converted = subject.links.convert(
        {name: reference_gradient(name, shape) for name, shape in inventory.items()},
        subject.shapes,
    )
    return lambda name, _: converted.get(name)


def _record_optimizer(subject: Subject, writer: RecordingWriter, sink: Sink, dtype: str) -> None:
    """Updates and states of the optimizer alone, given the same gradients for a few steps."""
    side = subject.side
    model = _built(subject, dtype)
    names = _names_of(side, model)
    gradients = _gradients(subject)
    entry = writer.data["stages"]["optimizer"]
    made = _optimizers(subject.recipe.optimizer(model))  # type: ignore[misc]
    entry["settings"] = {
        key: optimizer_settings(side, optimizer, names) for key, (optimizer, _) in made.items()
    }
    for trial, factors in enumerate(GRADIENT_FACTORS):
        if trial:
            model = _built(subject, dtype)
            names = _names_of(side, model)
            made = _optimizers(subject.recipe.optimizer(model))  # type: ignore[misc]
        for optimizer, _ in made.values():
            _step_alone(
                subject,
                sink,
                optimizer,
                names,
                gradients,
                [(f"{trial}.{i}", f) for i, f in enumerate(factors)],
            )


def _step_alone(
    subject: Subject,
    sink: Sink,
    optimizer: Any,
    names: dict[int, str],
    gradients: Callable[[str, tuple[int, ...]], np.ndarray | None],
    steps: list[tuple[str, float]],
) -> None:
    side = subject.side
    side.use_rate(optimizer, ISOLATED_RATE)
    parameters = [t for group in side.groups(optimizer) for t in group["params"] if side.trainable(t)]
    given = [(t, gradients(names.get(id(t), ""), tuple(t.shape))) for t in parameters]
    for step, factor in steps:
        side.backward_from([(t, g * factor) for t, g in given if g is not None])
        before = {id(t): np.array(side.to_array(t)) for t in parameters}
        side.optimizer_step(optimizer)
        for t in parameters:
            name = names.get(id(t), "")
            update = side.to_array(t).astype(np.float64) - before[id(t)]
            sink.put(f"optimizer/{step}/updates/{name}", update, keep=False, turned=subject.turned(name))
        if step in (steps[0][0], steps[-1][0]):
            for t, state, array in side.optimizer_state(optimizer):
                name = names.get(id(t), "")
                turned = subject.turned(name)
                sink.put(f"optimizer/{step}/states/{name}/{state}", array, keep=False, turned=turned)


def optimizer_settings(side: Any, optimizer: Any, names: dict[int, str]) -> dict[str, Any]:
    """Class, plain settings and groups of an optimizer, parameters by name."""
    plain = (bool, int, float, str, type(None))

    def is_plain(value: Any) -> bool:
        return isinstance(value, plain) or (isinstance(value, (tuple, list)) and all(map(is_plain, value)))

    def plain_only(settings: dict) -> dict:
        found = {name: value for name, value in settings.items() if is_plain(value)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}

    return {
        "class": type(optimizer).__name__,
        "settings": plain_only(vars(optimizer) | getattr(optimizer, "defaults", {})),
        "groups": [
            {
                **plain_only({k: v for k, v in group.items() if k != "params"}),
                "learning_rate_now": rate,
                "params": [names.get(id(t), "") for t in group["params"]],
            }
            for group, rate in zip(side.groups(optimizer), side.learning_rates(optimizer), strict=True)
        ],
    }


def _record_decay(subject: Subject, sink: Sink, dtype: str) -> None:
    """One step with zero gradients: what moves is decayed, by how much, and how."""
    side = subject.side
    model = _built(subject, dtype)
    names = _names_of(side, model)
    for optimizer, _ in _optimizers(subject.recipe.optimizer(model)).values():  # type: ignore[misc]
        side.use_rate(optimizer, ISOLATED_RATE)
        parameters = [t for group in side.groups(optimizer) for t in group["params"] if side.trainable(t)]
        for t in parameters:  # A zero weight does not show its decay.
            initial = subject.weight(names[id(t)])
            side.assign(t, np.where(initial == 0, 1.0, initial))
        before = {id(t): np.array(side.to_array(t)) for t in parameters}
        side.backward_from([(t, np.zeros(tuple(t.shape))) for t in parameters])
        side.optimizer_step(optimizer)
        for t in parameters:
            update = side.to_array(t).astype(np.float64) - before[id(t)]
            name = names[id(t)]
            sink.put(f"decay/{name}", update, keep=False, turned=subject.turned(name))


def _record_schedule(subject: Subject, writer: RecordingWriter) -> None:
    """The learning rate of every group, tick by tick."""
    side = subject.side
    model = _built(subject, "float32")
    names = _names_of(side, model)
    made = _optimizers(subject.recipe.optimizer(model))  # type: ignore[misc]
    recorded = subject.inputs.data["stages"].get("learning_rate", {}) if subject.inputs is not None else {}
    ticks = recorded.get("ticks") or min(TICKS[1], max([TICKS[0], *(_horizon(s) for _, s in made.values())]))
    groups, ended = [], ""
    for key, (optimizer, schedule) in made.items():
        series = [side.learning_rates(optimizer)]
        for _ in range(ticks if schedule is not None else 0):
            side.optimizer_step(optimizer)
            try:
                move_schedule(schedule)
            except Exception as error:  # One that knows its length (OneCycleLR) raises behind its end.
                ended = f"{type(error).__name__}: {said(error)}"
                break
            series.append(side.learning_rates(optimizer))
        for i, group in enumerate(side.groups(optimizer)):
            name = f"{key}/{i}" if key else str(i)
            writer.put(f"schedule/{name}", np.array([rates[i] for rates in series]))
            groups.append({
                "name": name,
                "params": [names.get(id(t), "") for t in group["params"]],
                "scheduled": schedule is not None,
            })  # fmt: skip
    writer.data["stages"]["learning_rate"] |= {"groups": groups, "ticks": ticks, "ended": ended}


def _horizon(schedule: Any, depth: int = 0) -> int:
    """A little more ticks than the largest count that the schedule was given."""
    if schedule is None or depth > 3:
        return 0
    found = [0]
    for value in vars(schedule).values():
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 1 < value <= TICKS[1]:
            found.append(int(value * 1.1) + 2)
        elif isinstance(value, (list, tuple, dict)):
            found += [int(part * 1.1) + 2 for part in value if isinstance(part, int) and 1 < part <= TICKS[1]]
            found += [_horizon(part, depth + 1) for part in value if hasattr(part, "last_epoch")]
        elif hasattr(value, "last_epoch"):
            found.append(_horizon(value, depth + 1))
    return max(found)


def _record_steps(subject: Subject, writer: RecordingWriter, sink: Sink, dtype: str) -> None:
    """A few training steps as training does them: losses, weights, buffers and states after each."""
    side, recipe = subject.side, subject.recipe
    _survive(subject)
    model = _built(subject, dtype)
    _set_training(subject, model, True)
    trainer = Trainer(recipe, model)
    draws = _shared_draws(subject, "steps")
    batches = itertools.cycle(subject.batches["train"][:TRAINING_STEPS])
    start = {name: np.array(side.to_array(t)) for name, t, _ in side.tensors(model)}
    counts: dict[str, list[list[float]]] = {name: [] for name in side.variances(model)}
    side.on_norms(model, lambda name, count: counts[name][-1].append(count))
    with side.sharing_draws(draws, None):
        for step in range(TRAINING_STEPS):
            losses: dict[str, float] = {}
            for series in counts.values():
                series.append([])
            for batch in itertools.islice(batches, recipe.accumulate):
                for name, value in trainer.step(in_precision(batch, dtype)).items():
                    losses[name] = losses.get(name, 0.0) + side.scalar(value) / recipe.accumulate
            for name, value in losses.items():
                sink.put(f"steps/{step}/losses/{name}", np.asarray(value, dtype=np.float64))
            if (step + 1) % EPOCH_OF == 0:
                trainer.end_epoch()
                # Alignment evaluates nothing between steps: the loss stands in for the metric's figure.
                trainer.end_evaluation({recipe.schedule_follows: losses["total"]})
            seen = set()
            for name, tensor, kind in side.tensors(model):
                if id(tensor) not in seen:
                    seen.add(id(tensor))
                    moved = side.to_array(tensor).astype(np.float64) - start[name]
                    turned = subject.turned(name)
                    sink.put(f"steps/{step}/{kind}s/{name}", moved, keep=False, turned=turned)
    for name, averaged in _averages(side, trainer, model, recipe):
        moved = side.to_array(averaged).astype(np.float64) - start[name]
        turned = subject.turned(name)
        sink.put(f"steps/{TRAINING_STEPS - 1}/evaluated/{name}", moved, keep=False, turned=turned)
    entry = writer.data["stages"]["training_steps"]
    entry["steps"] = TRAINING_STEPS
    entry["averaged_over"] = {name: series for name, series in counts.items() if all(series)}


def _averages(side: Any, trainer: Trainer, model: Any, recipe: Recipe) -> Iterator[tuple[str, Any]]:
    """The tensors that are evaluated and not those that are trained, each by the name of the trained one: those of
    ``average``, or those that ``evaluated`` names and a recipe's own code moves."""
    names = _names_of(side, model)
    evaluated = list(side.tensors(trainer.evaluated))
    if recipe.average is not None:
        for (_, trained, _), (_, averaged, _) in zip(side.tensors(trainer.part), evaluated, strict=True):
            yield names[id(trained)], averaged
        return
    shapes = {name: tuple(tensor.shape) for name, tensor, _ in side.tensors(model)}
    for path, averaged, _ in evaluated:
        parts = path.split(".")  # It may be a copy inside a wrapper.
        name = next((n for i in range(len(parts)) if (n := ".".join(parts[i:])) in shapes), "")
        if id(averaged) not in names and shapes.get(name) == tuple(averaged.shape):
            yield name, averaged


# --- initialisation ------------------------------------------------------------------------------------------------


def _record_initialisation(subject: Subject, writer: RecordingWriter) -> None:
    """A sorted sample of each parameter's own initial values; small ones pooled over several initialisations."""
    side = subject.side
    samples: dict[str, list[np.ndarray]] = {}
    total = 0
    for number in range(12):
        model = _seeded_model(subject.recipe, SEED + 1 + number)
        for name, tensor, kind in side.tensors(model):
            if kind != "parameter":
                continue
            array = np.array(side.to_array(tensor), dtype=np.float64).reshape(-1)
            total += array.size
            held = samples.setdefault(name, [])
            if held and np.ptp(array) and np.array_equal(array, held[0]):
                continue  # The recipe draws it from a generator of its own: a copy is no other draw.
            held.append(array)
        if total > 4_000_000 or all(
            sum(map(len, held)) >= 512 or not np.ptp(held[0]) for held in samples.values()
        ):
            break
    for name, held in samples.items():
        values = np.sort(np.concatenate(held))
        if values.size > INITIAL_ELEMENTS:
            values = values[np.linspace(0, values.size - 1, INITIAL_ELEMENTS).astype(int)]
        writer.put(f"initial/{name}", values)
        writer.data["stages"]["initialisation"][name] = {
            "mean": values.mean() if values.size else 0.0,
            "deviation": values.std() if values.size else 0.0,
            "low": values.min() if values.size else 0.0,
            "high": values.max() if values.size else 0.0,
            "drawn": sum(len(h) for h in held),
        }
