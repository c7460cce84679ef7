"""Follows one run of a recipe's part: every module call, and every framework call between modules.

A *call* is the outermost call of a public function or tensor method of the framework. A *span* is one call of a
module and holds the calls made inside it. Tensors get an identity when a call returns them, so that the calls
form a graph: parameters are ``parameters.<name>``, batch leaves ``inputs.<path>`` and ``targets.<path>``, what a
call returned ``t<number>``, and what came from elsewhere (a constant) ``c<number>``.
"""

from __future__ import annotations

import inspect
import itertools
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

TAG = "_fuxian_id"
_RUNS = itertools.count()

SAME_OPERATION = {
    "view": "reshape", "view_as": "reshape", "reshape_as": "reshape", "unflatten": "reshape",
    "permute": "transpose", "t": "transpose", "T": "transpose", "mT": "transpose", "swapaxes": "transpose",
    "swapdims": "transpose", "movedim": "transpose", "moveaxis": "transpose", "matrix_transpose": "transpose",
    "cat": "concat", "concatenate": "concat",
    "truediv": "divide", "div": "divide", "true_divide": "divide", "rdiv": "divide", "rtruediv": "divide",
    "radd": "add", "iadd": "add", "rsub": "sub", "isub": "sub", "subtract": "sub", "rmul": "multiply",
    "mul": "multiply", "imul": "multiply", "itruediv": "divide", "rpow": "pow",
    "mm": "matmul", "bmm": "matmul", "rmatmul": "matmul",
    "to": "cast", "astype": "cast", "type": "cast", "float": "cast", "double": "cast", "half": "cast",
    "clamp": "clip", "clamp_min": "clip", "amax": "max", "amin": "min",
    "hardswish": "hardswish", "swish": "silu", "selu": "selu",
    "relu6": "hardtanh",
    "upsample": "interpolate", "masked_fill": "where", "getitem": "index", "setitem": "assign_index",
    "binary_cross_entropy_with_logits": "bce_with_logits", "expand_as": "expand", "broadcast_to": "expand",
    "softmax_with_cross_entropy": "cross_entropy", "unbind": "unbind", "chunk": "split", "tensor_split": "split",
}  # fmt: skip
"""Names that the frameworks give to one operation."""


def operation(name: str) -> str:
    """The operation that a function's name stands for, the same word for both frameworks."""
    short = name.rsplit(".", 1)[-1]
    if short == "__get__":
        short = name.rsplit(".", 2)[-2]
    if short[:1].isupper() and short not in SAME_OPERATION:
        short = re.sub(r"(\d)D", r"\1d", short)
        short = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", short).lower()
        short = re.sub(r"(_norm)\d?d?$", r"\1", short)
    short = short.strip("_")
    return SAME_OPERATION.get(short, short)


def plain(operation: str) -> str:
    """The operation without a dimension in another place: conv_transpose2d and conv2d_transpose alike."""
    names = {
        "conv_transpose": "transpose",
        "upsampling_bilinear": "interpolate",
        "upsampling_nearest": "interpolate",
    }
    for dimensions in ("1d", "2d", "3d"):
        if operation == f"conv_transpose{dimensions}":
            return f"conv{dimensions}_transpose"
    return {"upsample": "interpolate", "binary_cross_entropy": "bce", "prod": "product", **names}.get(
        operation, operation
    )


class Side(Protocol):
    """What the tracer needs to know of a framework."""

    def is_tensor(self, value: Any) -> bool: ...
    def to_array(self, tensor: Any) -> np.ndarray: ...
    def version(self, tensor: Any) -> int: ...
    def on_gradient(self, tensor: Any, receive: Callable[[np.ndarray], None]) -> bool: ...


@dataclass
class Call:
    """One call between modules: ``arguments`` holds what is not a tensor, and tensors as ``{"tensor": id}``."""

    index: int
    name: str
    operation: str
    path: str
    section: str
    span: int
    arguments: dict[str, Any]
    inputs: list[str]
    outputs: list[str]
    line: str


@dataclass
class Span:
    """One call of a module: ``calls`` are those made inside, from first to one past the last."""

    index: int
    path: str
    kind: str
    parent: int
    inputs: list[str]
    line: str
    outputs: list[str] = field(default_factory=list)
    calls: tuple[int, int] = (0, 0)


def plain_argument(value: Any, depth: int = 0) -> Any:
    """A call's argument as JSON holds it; objects by their type's name and text."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)) and depth < 3:
        return [plain_argument(part, depth + 1) for part in value[:64]]
    if isinstance(value, dict) and depth < 3:
        return {str(key): plain_argument(part, depth + 1) for key, part in list(value.items())[:64]}
    if isinstance(value, slice):
        return f"{value.start}:{value.stop}:{value.step}"
    if isinstance(value, np.generic):
        return value.item()
    return f"{type(value).__name__}: {str(value)[:80]}"


def tensors_in(value: Any, is_tensor: Callable[[Any], bool], depth: int = 0) -> Iterator[Any]:
    """Every tensor in nested tuples, lists and dicts, in order."""
    if is_tensor(value):
        yield value
    elif isinstance(value, (tuple, list)) and depth < 4:
        for part in value:
            yield from tensors_in(part, is_tensor, depth + 1)
    elif isinstance(value, dict) and depth < 4:
        for part in value.values():
            yield from tensors_in(part, is_tensor, depth + 1)


@lru_cache(maxsize=4096)
def parameter_names(function: Callable, *, method: bool = False) -> tuple[str, ...]:
    """The names of a function's positional parameters, empty where it does not tell.

    Functions written in C tell in the first line of their documentation alone, which for a ``method`` leaves out
    ``self``.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        parameters = ()  # type: ignore[assignment]
    names = tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))
    if names:
        return names
    stated = _STATED.search((function.__doc__ or "")[:400])
    if stated is None:
        return ()
    told = tuple(
        word.split("=")[0].split(":")[0].strip()
        for word in stated[1].split(",")
        if word.strip() not in ("", "*", "/") and not word.strip().startswith("**")
    )
    return ("self", *told) if method and told[:1] != ("self",) else told


_STATED = re.compile(r"\w+\(([\w\s=.,:*/\[\]-]*)\) *->")


_OWN = Path(__file__).resolve().parents[1]


@lru_cache(maxsize=4096)
def of_a_library(file: str) -> bool:
    """Whether a source file belongs to Python, a framework, or Fuxian's own machinery, and not to what is compared."""
    path = Path(file)
    return (
        file.startswith(("<", sys.prefix + "/bin/"))
        or "site-packages" in path.parts
        or (path.is_relative_to(_OWN) and not path.is_relative_to(_OWN / "papers"))
        or file.startswith(sys.base_prefix + "/lib/python")
    )


def line_of_caller() -> str:
    """``file:line`` of the innermost frame that belongs neither to a framework nor to Fuxian's own machinery."""
    frame = sys._getframe(1)
    while frame is not None:
        if not of_a_library(frame.f_code.co_filename):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return ""


class Tracer:
    """Collects the calls and spans of one run. ``store(id, array)`` takes each tensor; gradients likewise.

    Gradients that arrive while ``collect_gradients`` is False (those of inner loops) are not taken.
    """

    def __init__(
        self,
        side: Side,
        store: Callable[[str, np.ndarray], None],
        store_gradient: Callable[[str, np.ndarray], None] | None = None,
        paths: dict[int, str] | None = None,
    ) -> None:
        self.side = side
        self.store = store
        self.store_gradient = store_gradient
        self.paths = paths or {}
        self.calls: list[Call] = []
        self.spans: list[Span] = []
        self.section = "forward"
        self.collect_gradients = False
        self.inside = 0
        self.cut: list[str] = []
        """Tensors that no gradient can reach."""
        self._stack: list[int] = []
        self._numbers = {"t": 0, "c": 0}
        self._run = next(_RUNS)

    @property
    def raised(self) -> bool:
        """Whether the last call raised: it is noted with no outputs."""
        return bool(self.calls) and not self.calls[-1].outputs

    @property
    def path(self) -> str:
        """The module that is being run, as a path from the root."""
        return self.spans[self._stack[-1]].path if self._stack else ""

    def tag(self, tensor: Any, identity: str) -> None:
        """Give a tensor its identity in this run: one that outlives the run has another in the next."""
        setattr(tensor, TAG, (self._run, identity))

    def known(self, tensor: Any) -> str | None:
        """The identity of a tensor that was met in this run."""
        run, identity = getattr(tensor, TAG, (None, None))
        return identity if run == self._run else None

    def identity(self, tensor: Any) -> str:
        """The identity of a tensor; one met for the first time is a constant, and stored."""
        known = self.known(tensor)
        return self._new("c", tensor) if known is None else known

    def _new(self, prefix: str, tensor: Any) -> str:
        identity = f"{self.section}.{prefix}{self._numbers[prefix]}"
        self._numbers[prefix] += 1
        self.tag(tensor, identity)
        self.inside += 1
        try:
            self.store(identity, self.side.to_array(tensor))
            if prefix == "t" and self.store_gradient is not None:
                flows = self.side.on_gradient(tensor, lambda gradient: self._gradient(identity, gradient))
                if not flows:
                    self.cut.append(identity)
        finally:
            self.inside -= 1
        return identity

    def _gradient(self, identity: str, gradient: np.ndarray) -> None:
        if self.collect_gradients and self.store_gradient is not None:
            self.store_gradient(identity, gradient)

    def call(self, name: str, function: Callable, args: tuple, kwargs: dict) -> Any:
        """Make a call and note it, unless it is made inside another."""
        if self.inside:
            return function(*args, **kwargs)
        # A span that starts inside a call would not be its part: identities are read before the call,
        # because a call in place gives its input a new one.
        found = list(tensors_in((args, kwargs), self.side.is_tensor))
        inputs = [self.identity(tensor) for tensor in found]
        before = {id(tensor): self.side.version(tensor) for tensor in found}
        self.inside += 1
        try:
            result = function(*args, **kwargs)
        except Exception:
            self._note(name, function, args, kwargs, inputs, [])
            raise
        finally:
            self.inside -= 1
        returned = result
        if result is None and found:
            returned = found[0]
        outputs = list(tensors_in(returned, self.side.is_tensor))
        if not outputs:
            return result
        fresh = []
        for tensor in outputs:
            known = self.known(tensor)
            written = id(tensor) in before and self.side.version(tensor) != before[id(tensor)]
            if known is not None and (not written or known.startswith("parameters.")):
                fresh.append(known)
            else:
                fresh.append(self._new("t", tensor))
        if any(identity not in inputs for identity in fresh):
            self._note(name, function, args, kwargs, inputs, fresh)
        return result

    def _note(
        self, name: str, function: Callable, args: tuple, kwargs: dict, inputs: list[str], outputs: list[str]
    ) -> None:
        remaining = iter(inputs)

        def argument(value: Any, depth: int = 0) -> Any:
            if self.side.is_tensor(value):
                return {"tensor": next(remaining)}
            if isinstance(value, (list, tuple)) and depth < 4:
                return [argument(part, depth + 1) for part in value]
            if isinstance(value, dict) and depth < 4:
                return {str(key): argument(part, depth + 1) for key, part in value.items()}
            return plain_argument(value)

        method = name.startswith("torch.Tensor.")
        names = parameter_names(inspect.unwrap(function), method=method) if callable(function) else ()
        arguments = {
            (names[place] if place < len(names) else str(place)): argument(value)
            for place, value in enumerate(args)
        }
        arguments |= {key: argument(value) for key, value in kwargs.items()}
        self.calls.append(
            Call(
                index=len(self.calls),
                name=name,
                operation=operation(name),
                path=self.path,
                section=self.section,
                span=self._stack[-1] if self._stack else -1,
                arguments=arguments,
                inputs=inputs,
                outputs=outputs,
                line=line_of_caller(),
            )
        )

    def module(self, module: Any, function: Callable, args: tuple, kwargs: dict) -> Any:
        """Run a module's call as a span. A module that gives tensors no call made is noted as a call itself."""
        path = self.paths.get(id(module))
        if path is None or self.inside:
            return function(module, *args, **kwargs)
        inputs = [self.identity(tensor) for tensor in tensors_in((args, kwargs), self.side.is_tensor)]
        span = Span(
            len(self.spans),
            path,
            type(module).__name__,
            self._stack[-1] if self._stack else -1,
            inputs,
            line_of_caller(),
        )
        self.spans.append(span)
        self._stack.append(span.index)
        first = len(self.calls)
        name = f"{type(module).__module__}.{type(module).__name__}"
        try:
            result = function(module, *args, **kwargs)
        except Exception:
            if not self.raised:
                self._note(name, module.forward, args, kwargs, inputs, [])
            raise
        outputs = list(tensors_in(result, self.side.is_tensor))
        if any(self.known(tensor) is None for tensor in outputs):
            own = [t for t in module.__dict__.get("_parameters", {}).values() if t is not None]
            weights = [known for known in map(self.known, own) if known is not None]
            fresh = [self.known(t) or self._new("t", t) for t in outputs]
            self._note(name, module.forward, args, kwargs, inputs, fresh)
            self.calls[-1].inputs += weights
        span.outputs = [self.identity(tensor) for tensor in outputs]
        span.calls = (first, len(self.calls))
        self._stack.pop()
        return result

    def to_json(self) -> dict[str, Any]:
        """Calls and spans as the recording keeps them."""
        return {
            "calls": [asdict(call) for call in self.calls],
            "spans": [asdict(span) for span in self.spans],
            "cut": self.cut,
        }


def calls_from_json(trace: dict[str, Any]) -> tuple[list[Call], list[Span]]:
    """Calls and spans, read back."""
    spans = [Span(**{**span, "calls": tuple(span["calls"])}) for span in trace["spans"]]
    return [Call(**call) for call in trace["calls"]], spans
