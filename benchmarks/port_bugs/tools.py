"""The three tools, each asked the same: does this port differ from its reference, where, and why?

The peers are run as their own documents say, and again with their switches set by hand. Neither names causes.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from fuxian.recipe import leaves, to_arrays
from port_bugs.catalogue import Bug, Faithful
from port_bugs.measure import Side, carry_weights, cast, default_dtype


@dataclass
class Answer:
    """What a tool said of one case; ``alarm`` False means: equal."""

    alarm: bool
    stage: str = ""
    place: str | None = None
    cause: str | None = None
    note: str = ""
    seconds: float = 0.0
    certainty: str = ""
    mended: str = ""
    """``right`` or ``wrong`` (with what still differs) where a mend was written."""

    def right_place(self, bug: Bug) -> bool:
        if self.place is None:
            return False
        stage = not self.stage or self.stage in bug.stages
        return self.alarm and stage and any(fnmatchcase(self.place, pattern) for pattern in bug.places)

    def right_cause(self, bug: Bug) -> bool:
        return self.alarm and self.cause in bug.causes


def ask(tool: Callable[[Faithful], Answer], case: Faithful) -> Answer:
    """The tool's answer. An exception of the tool is an alarm: its user learns that something is wrong."""
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), paddle.utils.unique_name.guard():
        try:
            answer = tool(case)
        except Exception as error:
            answer = Answer(
                True, note=f"{type(error).__name__}: {str(error).strip().splitlines()[-1:]}"[:300]
            )
    answer.seconds = round(time.perf_counter() - start, 3)
    return answer


def fuxian(case: Faithful, dtype: str = "float64") -> Answer:
    from fuxian.align import align
    from fuxian.align.alignment import result_json

    said = result_json(align(case.port(), case.reference(), dtype=dtype))
    if said["verdict"] == "aligned":
        return Answer(False)
    first = said["first_divergence"]
    if first is None:
        return Answer(True, note=said["verdict"])
    return Answer(True, first["stage"], first["place"], first["cause"], first["evidence"])


def fuxian_mending(case: Faithful, dtype: str = "float64") -> Answer:
    """As ``fuxian``, with the change of the source that it writes, applied and measured."""
    from fuxian.align.alignment import result_json
    from port_bugs.mends import mended

    found, made, outcome = mended(case, dtype)
    said = result_json(found)["first_divergence"]
    if found.verdict == "aligned":
        return Answer(False)
    if said is None:
        return Answer(True, note=found.verdict)
    note = f"{said['evidence']}; {made.diff or made.reason}"
    return Answer(True, said["stage"], said["place"], said["cause"], note, 0.0, said["certainty"], outcome)


def _sides(case: Faithful, dtype: str, *, training: bool = False) -> tuple[Side, Side]:
    port, reference = Side(case.port(), "paddle", dtype), Side(case.reference(), "torch", dtype)
    for side in (port, reference):
        side.model.train() if training else side.evaluate()
    return port, reference


def padiff(case: Faithful) -> Answer:
    """``auto_diff`` at its defaults, with the recipe's loss and optimizer, in evaluation mode (it shares no masks)."""
    return _padiff(*_sides(case, "float32"), options={}, auto_weights=True, steps=1)


def padiff_by_hand(case: Faithful) -> Answer:
    """Element-wise with a float64 tolerance, without its hooks on functions (which differ in number between the
    frameworks), weights and buffers carried by hand, two steps, and once more in training mode without dropout."""
    with default_dtype("float64"):
        for training in (False, True):
            port, reference = _sides(case, "float64", training=training)
            carry_weights(reference.model, port.model)
            for module in [*port.model.sublayers(), *reference.model.modules()]:
                for rate in {"Dropout": ["p"], "DropPath": ["rate"], "TorchDropPath": ["rate"]}.get(
                    _class(module), []
                ):
                    setattr(module, rate, 0.0)
            options = {"compare_mode": "strict", "atol": 1e-6, "rtol": 1e-5}
            answer = _padiff(port, reference, options=options, auto_weights=False, steps=2)
            if answer.alarm:
                return answer
    return answer


def _class(module: Any) -> str:
    return type(module).__name__


def _padiff(port: Side, reference: Side, *, options: dict, auto_weights: bool, steps: int) -> Answer:
    from padiff import auto_diff
    from padiff.trainer import Checker

    assert port.recipe.train_data is not None
    batch = next(iter(reference.recipe.train_data()))
    inputs = tuple(
        dict(zip(_arguments(side.model), side.tensors(batch["inputs"]), strict=True))
        for side in (port, reference)
    )

    def loss_of(side: Side) -> Callable:
        def loss(outputs: Any) -> Any:
            found = side.losses(outputs, batch)
            return found["total"] if isinstance(found, dict) else found

        return loss

    optimizers = tuple(side.recipe.optimizer(side.model)[0] for side in (port, reference))
    paths = {id(layer): path for path, layer in port.model.named_sublayers(include_self=True)}
    seen: list[tuple[str, str | None]] = []
    module = inspect.getmodule(Checker)
    plain = module.print_info

    def print_info(paddle_item: Any, *rest: Any, grad: bool = False, p_root: Any = None, **more: Any) -> None:
        node = p_root
        while node is not None and id(node.net) not in paths:  # a function belongs to the layer that calls it
            node = node.father
        seen.append(("backward" if grad else "forward", paths[id(node.net)] if node is not None else ""))

    module.print_info = print_info
    text = io.StringIO()
    for log in Path("diff_log").glob("*.log"):
        log.unlink()
    try:
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
            equal = auto_diff(
                port.model,
                reference.model,
                inputs,
                auto_weights=auto_weights,
                options=options,
                loss_fn=(loss_of(port), loss_of(reference)),
                optimizer=optimizers,
                steps=steps,
            )
    finally:
        module.print_info = plain
    logs = "".join(path.read_text() for path in sorted(Path("diff_log").glob("*_diff.log")))
    if equal:
        return Answer(False)
    if seen:
        return Answer(True, *seen[0])
    if "Diff found in loss" in text.getvalue():
        return Answer(True, "loss", "loss")
    found = re.search(r"paddle path:\n\s+[^.\n]*\.?(\S+)", logs)
    stage = "optimizer" if "After training, weight" in logs else "backward"
    if found:
        return Answer(True, stage, found[1])
    return Answer(True, note=text.getvalue()[-200:])


def _arguments(model: Any) -> list[str]:
    return list(inspect.signature(model.forward).parameters)


def reprod_log(case: Faithful) -> Answer:
    """The guide's files, one per step, each judged by ``report()`` at its defaults: mean difference above 1e-6."""
    return _reprod_log(case, "float32", diff_method="mean", diff_threshold=1e-6)


def reprod_log_by_hand(case: Faithful) -> Answer:
    """The same in float64, by the largest difference."""
    with default_dtype("float64"):
        return _reprod_log(case, "float64", diff_method="max", diff_threshold=1e-6)


def _reprod_log(case: Faithful, dtype: str, **switches: Any) -> Answer:
    from reprod_log import ReprodDiffHelper, ReprodLogger

    port, reference = _sides(case, dtype)
    carry_weights(reference.model, port.model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for stage, arrays in _guide_steps(port, reference, dtype):
            paths = []
            for framework, found in zip(("paddle", "torch"), arrays, strict=True):
                logger = ReprodLogger()
                for key, array in found.items():
                    logger.add(key, np.asarray(array))
                paths.append(str(folder / f"{stage}_{framework}.npy"))
                logger.save(paths[-1])
            helper = ReprodDiffHelper()
            helper.compare_info(*(helper.load_info(path) for path in paths))
            with contextlib.redirect_stderr(io.StringIO()):
                helper.report(path=str(folder / f"{stage}_diff.log"), **switches)
            text = (folder / f"{stage}_diff.log").read_text()
            if "diff check failed" in text:
                wrong = [key for key in arrays[0] if f"{key}:" in text and _failed(text, key)]
                return Answer(True, stage, wrong[0] if wrong else None)
    return Answer(False)


def _failed(text: str, key: str) -> bool:
    found = re.search(re.escape(key) + r":.*?check passed: (True|False)", text, re.S)
    return found is not None and found[1] == "False"


def _guide_steps(port: Side, reference: Side, dtype: str) -> Any:
    """The official guide's checks in its order: forward, data, metric, loss, learning rate, backward."""
    sides, recipes = (port, reference), (port.recipe, reference.recipe)
    batches = list(reference.recipe.eval_data())
    outputs = [to_arrays(side.outputs(batches[0])) for side in sides]
    yield "forward", [dict(_keyed(found, "outputs")) for found in outputs]
    for stage in ("eval_data", "train_data"):
        data = [list(getattr(recipe, stage)()) for recipe in recipes]
        yield (
            stage,
            [
                {
                    "length": np.array(len(found)),
                    **{
                        f"{kind}.{key}": array
                        for kind in ("inputs", "targets")
                        for key, array in leaves(found[0][kind])
                    },
                }
                for found in data
            ],
        )
    figures = []
    for side in sides:
        metric = side.recipe.metric()
        for batch in batches:
            metric.update(to_arrays(side.outputs(batch)), cast(batch["targets"], dtype))
        figures.append({key: np.array(value) for key, value in metric.figures().items()})
    yield "metric", figures
    losses = [to_arrays(side.losses(side.outputs(batches[0]), batches[0])) for side in sides]
    yield "loss", [dict(_keyed(found, "loss")) for found in losses]
    yield "learning_rate", [{"optimizer": np.array(side.rates(12, 3))} for side in sides]
    tracks: list[dict[str, Any]] = []
    carry_weights(reference.model, port.model)
    for side in sides:
        optimizer = side.recipe.optimizer(side.model)[0]
        track = {}
        for step in range(2):
            total = side.losses(side.outputs(batches[0]), batches[0])
            total = total["total"] if isinstance(total, dict) else total
            track[f"loss_{step}"] = to_arrays(total)
            total.backward()
            optimizer.step()
            (optimizer.clear_grad if side is port else optimizer.zero_grad)()
        tracks.append(track)
    yield "backward", tracks


def _keyed(found: Any, name: str) -> list[tuple[str, Any]]:
    return [(key or name, np.asarray(array)) for key, array in leaves(found)]


TOOLS: dict[str, Callable[[Faithful], Answer]] = {
    "fuxian": fuxian,
    "fuxian, mending": fuxian_mending,
    "padiff": padiff,
    "padiff by hand": padiff_by_hand,
    "reprod_log": reprod_log,
    "reprod_log by hand": reprod_log_by_hand,
}
