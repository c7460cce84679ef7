"""Changes of what is called: another function or class, a call taken away or put in, arguments exchanged."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING

from fuxian.align.mend.arguments import Target
from fuxian.align.mend.source import Edit, Source, called, without_argument

if TYPE_CHECKING:
    from fuxian.align.mend.proposals import Proposer

MOST_PARTS = 4
"""Parts of a list whose orders are tried."""


def of_call(asked: Proposer) -> Iterator[list[Edit]]:
    """What the causes of other calls suggest, at the line of the port's call."""
    scene, reference = asked.found.port, asked.found.reference
    assert scene is not None  # noqa: S101
    cause = asked.cause.cause
    lines = dict.fromkeys([asked.cause.line, *(call.line for call in scene.calls[:3]), scene.line])
    if cause in (
        "extra_module",
        "logits",
        "activation",
        "precision",
        "wrong_order",
        "activation_form",
        "detached",
    ):
        for where in lines:
            for source, node in _on(asked, where):
                yield from _dropped(source, node)
    if reference is not None and reference.call is not None:
        names = _paddle_names(reference.call.name, reference.module)
        yield from _replaced(asked, names)
        if cause in ("missing_module", "activation", "logits", "not_detached"):
            for where in lines:
                for source, node in _on(asked, where):
                    yield from _put_in(source, node, names)
    if cause in ("wrong_order", "sign", "permutation", "channel_order", "transposed_weight"):
        for where in lines:
            yield from _exchanged(asked, where)
    if cause == "not_detached":
        for where in lines:
            for source, node in _on(asked, where):
                for argument in node.args:
                    yield [source.replaced(argument, f"{_bracketed(source, argument)}.detach()")]


def renamed(source: Source, call: ast.Call, name: str) -> Iterator[list[Edit]]:
    """Another function of the same module in a call's place, without the arguments that it does not take."""
    function = call.func
    if isinstance(function, ast.Attribute):
        end = source.span(function)[1]
        yield [Edit(source.file, end - len(function.attr), end, name)]
    elif isinstance(function, ast.Name):
        yield [source.replaced(function, f"paddle.nn.{name}")]
        yield [source.replaced(function, name)]


def _on(asked: Proposer, line: str) -> Iterator[tuple[Source, ast.Call]]:
    """Every call on ``file:line``."""
    file, _, number = (line or "").rpartition(":")
    source = asked.source(Path(file)) if number.isdigit() else None
    if source is None:
        return
    at = int(number)
    held = [
        n
        for n in ast.walk(source.tree)
        if isinstance(n, ast.Call)
        and n.lineno <= at <= (n.end_lineno or 0)
        and (n.end_lineno or 0) - n.lineno < 12
    ]
    for node in held:
        yield source, node


def _bracketed(source: Source, node: ast.expr) -> str:
    text = source.of(node)
    return text if isinstance(node, (ast.Name, ast.Attribute, ast.Call, ast.Subscript)) else f"({text})"


def _dropped(source: Source, node: ast.Call) -> Iterator[list[Edit]]:
    """The call's argument, or the object of a method, in the place of the call."""
    if node.args and not isinstance(node.args[0], (ast.Starred, ast.Constant)):
        yield [source.replaced(node, source.of(node.args[0]))]
    elif isinstance(node.func, ast.Attribute):
        yield [source.replaced(node, source.of(node.func.value))]


def _put_in(source: Source, node: ast.Call, names: list[str]) -> Iterator[list[Edit]]:
    """A function around a call, and around its first argument."""
    for name in names:
        if not name.startswith("paddle.nn.functional.") and not name.startswith("paddle.tanh"):
            continue
        inner = node.args[0] if node.args and not isinstance(node.args[0], ast.Starred) else None
        if inner is not None:
            yield [source.replaced(inner, f"{name}({source.of(inner)})")]
        yield [source.replaced(node, f"{name}({source.of(node)})")]


def _paddle_names(call: str, module: str) -> list[str]:
    """Paddle's functions and layers by the names of the reference's."""
    import paddle

    found = []
    short = call.rpartition(".")[2].lower().rstrip("_")
    for holder, name in ((paddle.nn.functional, "paddle.nn.functional"), (paddle, "paddle")):
        found += [f"{name}.{n}" for n in dir(holder) if n.lower() == short and n.islower()]
    layer = module.rpartition(".")[2].lower()
    found += [
        f"paddle.nn.{n}"
        for n in dir(paddle.nn)
        if n.lower() in (layer, short.replace("_", "")) and n[0].isupper()
    ]
    return list(dict.fromkeys(found))


def _replaced(asked: Proposer, names: list[str]) -> Iterator[list[Edit]]:
    """The reference's function or layer in the place of the port's."""
    scene = asked.found.port
    if scene is None or scene.call is None or asked.cause.cause not in _OTHER_CALL:
        return
    own = scene.call.name.rpartition(".")[2]
    for name in names:
        other = name.rpartition(".")[2]
        if other == own:
            continue
        target = Target.named(name)
        if target is None:
            continue
        layer = other[0].isupper()
        sites = (
            asked.made.layers.get(scene.path, [])
            if layer
            else asked.on_line(scene.call.line or scene.line, own)
        )
        for site in sites[:1] if layer else sites:
            source = asked.source(site.file)
            call = source.call_at(site) if source is not None else None
            if source is None or call is None:
                continue
            for edits in renamed(source, call, other):
                unknown = [k.arg for k in call.keywords if k.arg and not target.takes(k.arg)]
                more = [edit for n in unknown for edit in without_argument(source, call, n)]
                yield [*edits, *more]


_OTHER_CALL = {
    "activation",
    "pool_kind",
    "norm_kind",
    "activation_form",
    "loss_form",
    "interpolation_mode",
    "reduction",
}


def _exchanged(asked: Proposer, line: str) -> Iterator[list[Edit]]:
    """Two sides of an operator, two arguments, or the parts of a list in another order."""
    file, _, number = (line or "").rpartition(":")
    source = asked.source(Path(file)) if number.isdigit() else None
    if source is None:
        return
    at = int(number)
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.expr) or not node.lineno <= at <= (node.end_lineno or 0):
            continue
        if isinstance(node, ast.BinOp) and isinstance(
            node.op, (ast.Sub, ast.Div, ast.MatMult, ast.Pow, ast.Mod)
        ):
            left, right = _bracketed(source, node.left), _bracketed(source, node.right)
            yield [source.replaced(node.left, right), source.replaced(node.right, left)]
        elif isinstance(node, (ast.List, ast.Tuple)) and 2 <= len(node.elts) <= MOST_PARTS:
            texts = [source.of(part) for part in node.elts]
            if len(set(texts)) > 1 and isinstance(node.ctx, ast.Load):
                for order in list(permutations(range(len(texts))))[1:]:
                    yield [
                        source.replaced(part, texts[i])
                        for part, i in zip(node.elts, order, strict=True)
                        if texts[i]
                    ]
        elif isinstance(node, ast.Call) and len(node.args) >= 2 and called(node) not in _NO_EXCHANGE:
            first, second = node.args[:2]
            if not any(isinstance(a, ast.Starred) for a in (first, second)):
                yield [source.replaced(first, source.of(second)), source.replaced(second, source.of(first))]


_NO_EXCHANGE = {"reshape", "Conv2D", "Linear"}
