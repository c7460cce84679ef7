"""Changes of what is called: another function or class, a call taken away or put in, arguments exchanged."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING

from fuxian.align.diagnose.view import view
from fuxian.align.divergence import Divergence
from fuxian.align.mend.arguments import Target
from fuxian.align.mend.source import Edit, Source, called, without_argument
from fuxian.align.tracing import plain

if TYPE_CHECKING:
    from fuxian.align.mend.proposals import Proposer

MOST_PARTS = 4
"""Parts of a list whose orders are tried."""


DROPPED = {"extra_module", "logits", "activation", "precision", "activation_form", "detached", "permutation"}
EXCHANGED = {"wrong_order", "sign", "permutation", "channel_order", "transposed_weight", "attention_mask"}
"""Causes for which a call is taken away, and those for which arguments are exchanged."""
_APPLIES = re.compile(r"the port applies (.+?), the reference (.+?)(?::|$)")
_TIMES = re.compile(
    r"(?:scores|outputs?) multiplied by (-?[\d.e-]+)|the reference multiplies by (-?[\d.e-]+)"
)


def of_call(asked: Proposer) -> Iterator[list[Edit]]:
    """What the causes of other calls suggest, at the line of the port's call."""
    scene, reference = asked.found.port, asked.found.reference
    assert scene is not None  # noqa: S101
    cause = asked.cause.cause
    lines = dict.fromkeys([asked.cause.line, *(call.line for call in scene.calls[:3]), scene.line])
    lines |= dict.fromkeys(_before(asked.found))
    yield from _other_names(asked, lines)
    if cause in DROPPED:
        for where in lines:
            for source, node in _on(asked, where):
                yield from _dropped(source, node)
    yield from _scaled(asked, lines)
    if cause in ("residual", "missing_module"):
        yield from _added(asked, lines)
    if cause == "qkv_order":
        yield from _unpacked(asked, lines)
    if reference is not None and reference.call is not None:
        names = _paddle_names(reference.call.name, reference.module)
        yield from _replaced(asked, names)
        if cause in ("missing_module", "activation", "logits", "not_detached"):
            for where in lines:
                for source, node in _on(asked, where):
                    yield from _put_in(source, node, names)
    if cause in EXCHANGED:
        for where in lines:
            yield from _exchanged(asked, where)
    if cause == "not_detached":
        for where in lines:
            for source, node in _on(asked, where):
                for argument in node.args:
                    yield [source.replaced(argument, f"{_bracketed(source, argument)}.detach()")]


def _other_names(asked: Proposer, lines: dict[str, None]) -> Iterator[list[Edit]]:
    """The function that the evidence says the reference applies, in the place of the port's."""
    told = _APPLIES.search(asked.cause.evidence)
    scene = asked.found.port
    if told is None or scene is None:
        return
    name = told[2].partition(" of ")[0].replace(" ", "")
    names = _paddle_names(name, name)
    for site in asked.made.layers.get(scene.path, [])[:1] if scene.module.startswith("paddle.") else []:
        source = asked.source(site.file)
        call = source.call_at(site) if source is not None else None
        for other in names if source is not None and call is not None else ():
            if other.startswith("paddle.nn.") and other.rpartition(".")[2][0].isupper():
                yield [source.replaced(call.func, source.spelled(other))]  # type: ignore[union-attr]
    for where in lines:
        for source, node in _on(asked, where):
            if len(node.args) == 1 and not isinstance(node.args[0], ast.Starred):
                for other in names:
                    if not other.rpartition(".")[2][0].isupper():
                        yield [source.replaced(node, f"{source.spelled(other)}({source.of(node.args[0])})")]


def _scaled(asked: Proposer, lines: dict[str, None]) -> Iterator[list[Edit]]:
    """A product, or a call's result, times the factor that the evidence names."""
    told = _TIMES.search(asked.cause.evidence)
    if told is None:
        return
    factor = _exact(float(told[1] or told[2]))
    own = re.search(r"the port multiplies by (-?[\d.e-]+)", asked.cause.evidence)
    for where in lines:
        file, _, number = (where or "").rpartition(":")
        source = asked.source(Path(file)) if number.isdigit() else None
        if source is None:
            continue
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.expr) or not node.lineno <= int(number) <= (node.end_lineno or 0):
                continue
            if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mult, ast.Div)):
                for operand in (node.right, node.left) if own is not None else ():
                    if isinstance(operand, (ast.Name, ast.Attribute, ast.Constant)):
                        yield [source.replaced(operand, factor)]
                yield [source.replaced(node, f"{source.of(node)} * {factor}")]
            elif isinstance(node, ast.Call) and asked.cause.cause in (
                "scale_factor",
                "attention_scale",
                "loss_weight",
            ):
                yield [source.replaced(node, f"{source.of(node)} * {factor}")]


def _exact(factor: float) -> str:
    """A factor that was printed with six digits: a root or a share of a whole number where it is near one."""
    if factor == round(factor, 4):
        return repr(int(factor) if factor == int(factor) else factor)
    for value, text in ((factor**2, "{}**0.5"), (1 / factor**2, "{}**-0.5"), (1 / factor, "(1 / {})")):
        if abs(value - round(value)) < 2e-5 * value and round(value) > 0:
            return text.format(round(value))
    return repr(factor)


def _added(asked: Proposer, lines: dict[str, None]) -> Iterator[list[Edit]]:
    """What a function was given, added to what the line gives: a shortcut that the port leaves out."""
    reference = asked.found.reference
    if reference is None or not any(plain(call.operation) == "add" for call in reference.calls):
        return
    for where in lines:
        for source, function, number in _functions(asked, where):
            names = [
                a.arg
                for a in (*function.args.posonlyargs, *function.args.args)
                if a.arg not in ("self", "cls")
            ]
            for node in ast.walk(function):
                held = node.value if isinstance(node, (ast.Return, ast.Assign)) else None
                if held is not None and node.lineno <= number <= (node.end_lineno or 0):  # type: ignore[attr-defined]
                    branches = [held.body, held.orelse] if isinstance(held, ast.IfExp) else [held]
                    inner = [p.args[0] for p in branches if isinstance(p, ast.Call) and len(p.args) == 1]
                    for part in (*inner, *branches):
                        for name in names:
                            if source.of(part) != name:
                                yield [source.replaced(part, f"{_bracketed(source, part)} + {name}")]


def _functions(asked: Proposer, where: str) -> Iterator[tuple[Source, ast.FunctionDef, int]]:
    """The innermost function around ``file:line``."""
    file, _, number = (where or "").rpartition(":")
    source = asked.source(Path(file)) if number.isdigit() else None
    if source is None:
        return
    around = [
        f
        for f in ast.walk(source.tree)
        if isinstance(f, ast.FunctionDef) and f.lineno <= int(number) <= (f.end_lineno or 0)
    ]
    for function in sorted(around, key=lambda f: -f.lineno)[:1]:
        yield source, function, int(number)


def _unpacked(asked: Proposer, lines: dict[str, None]) -> Iterator[list[Edit]]:
    """The names that three results get, in another order."""
    for where in lines:
        for source, function, _ in _functions(asked, where):
            for node in ast.walk(function):
                if isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Store) and len(node.elts) == 3:
                    texts = [source.of(part) for part in node.elts]
                    for order in list(permutations(range(3)))[1:]:
                        yield [source.replaced(p, texts[i]) for p, i in zip(node.elts, order, strict=True)]


def renamed(source: Source, call: ast.Call, name: str) -> Iterator[list[Edit]]:
    """Another function of the same module in a call's place, without the arguments that it does not take."""
    function = call.func
    if isinstance(function, ast.Attribute):
        end = source.span(function)[1]
        yield [Edit(source.file, end - len(function.attr), end, name)]
    elif isinstance(function, ast.Name):
        for held in ("paddle.nn", "paddle.nn.functional", "paddle.optimizer"):
            yield [source.replaced(function, source.spelled(f"{held}.{name}"))]


def _before(found: Divergence) -> list[str]:
    """The lines of the calls that gave what the port's call at the place takes."""
    seen = view(found)
    if seen is None or found.port is None or found.port.call is None:
        return []
    taken = set(found.port.call.inputs)
    return [call.line for call in seen.port.calls if call.line and taken & set(call.outputs)][-2:]


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
        if name.rpartition(".")[2][0].isupper():
            continue
        put = source.spelled(name)
        method = node.func.value if isinstance(node.func, ast.Attribute) else None
        inner = node.args[0] if node.args and not isinstance(node.args[0], ast.Starred) else None
        if inner is not None and not isinstance(inner, (ast.Constant, ast.Tuple, ast.List)):
            yield [source.replaced(inner, f"{put}({source.of(inner)})")]
        if isinstance(method, (ast.Call, ast.Name, ast.Subscript, ast.BinOp)):
            yield [source.replaced(method, f"{put}({source.of(method)})")]
        yield [source.replaced(node, f"{put}({source.of(node)})")]


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
        if not layer and not sites:  # The function is called by another name.
            for source, node in _on(asked, scene.call.line or scene.line):
                yield [source.replaced(node.func, source.spelled(name))]


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
        elif isinstance(node, ast.Call) and called(node) == "where" and len(node.args) == 3:
            texts = [source.of(part) for part in node.args[1:]]
            yield [source.replaced(node.args[1], texts[1]), source.replaced(node.args[2], texts[0])]
        elif isinstance(node, ast.Call) and len(node.args) >= 2 and called(node) not in _NO_EXCHANGE:
            first, second = node.args[:2]
            if not any(isinstance(a, ast.Starred) for a in (first, second)):
                yield [source.replaced(first, source.of(second)), source.replaced(second, source.of(first))]


_NO_EXCHANGE = {"reshape", "Conv2D", "Linear"}
