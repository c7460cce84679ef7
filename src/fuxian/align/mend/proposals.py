"""What could be changed in a port's source for a proven cause, the likeliest first. Nothing is written untried."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fuxian.align.diagnose.settings import CAUSES, LAYER, canonical, differing
from fuxian.align.divergence import Diagnosis, Divergence, Scene
from fuxian.align.mend import optimizers, rewrites
from fuxian.align.mend.arguments import Target, argument_of
from fuxian.align.mend.sites import Made, Sites
from fuxian.align.mend.source import (
    Code,
    Edit,
    Source,
    called,
    default_of,
    given,
    has_parameter,
    parameter_index,
    spread,
    text_of,
    together,
    with_argument,
    without_argument,
)

_IN_PLACE = re.compile(r"(\w+)=(\[[^\]]*\]|\S+?) in place of (\[[^\]]*\]|[^\s,]+)")
_CONSTANT = re.compile(r"starts at (\S+) in place of (\S+)")
MOST_CONSTANTS = 4
"""Places in the source where a number is sought."""


@dataclass(frozen=True)
class Proposal:
    """Edits that belong together, and the file and line that they change first."""

    edits: tuple[Edit, ...]

    @property
    def files(self) -> set[Path]:
        return {edit.file for edit in self.edits}


class Proposer:
    """What a divergence with its cause suggests."""

    def __init__(self, found: Divergence, cause: Diagnosis, made: Made, folder: Path) -> None:
        self.found, self.cause, self.made, self.folder = found, cause, made, folder
        self._sources: dict[Path, Source] = {}

    def source(self, file: Path) -> Source | None:
        """A file of the port's folder; None for any other, and for what is no readable Python."""
        if file not in self._sources:
            try:
                source = Source.read(file)
                source.tree  # noqa: B018
            except (OSError, ValueError, SyntaxError, RecursionError):
                return None
            self._sources[file] = source
        return self._sources[file] if file.is_relative_to(self.folder) else None

    @cached_property
    def every(self) -> list[Source]:
        """Every Python file of the port that it imports."""
        files = set(self.made.files)
        return [source for file in sorted(files) if (source := self.source(file)) is not None]

    def __iter__(self) -> Iterator[Proposal]:
        seen = set()
        for edits in self._all():
            key = tuple(edits)
            if edits and key not in seen:
                seen.add(key)
                yield Proposal(key)

    def _all(self) -> Iterator[list[Edit]]:
        if self.found.stage in ("optimizer", "regularisation", "learning_rate"):
            for changes in optimizers.changes(self.found, self.cause, self.made):
                yield from self.changed(changes.sites, changes.target, changes.values)
                if changes.renamed:
                    yield from self._renamed(changes.sites, changes.renamed, changes.values)
        yield from self._recipe_settings()
        if self.cause.cause == "init_constant":
            yield from self._initial()
        if self.found.kind == "inventory":
            yield from self._inventory()
        if self.cause.cause == "missing_bias" and self.found.port is not None:
            yield from self._bias(self.found.port)
        if self.found.port is not None:
            yield from self._settings(self.found.port)
            yield from rewrites.of_call(self)
        yield from self._constants()

    # --- settings of layers and calls ---------------------------------------------------------------------------------

    def _settings(self, scene: Scene) -> Iterator[list[Edit]]:
        for values in self._wanted(scene):
            for target, sites in self._targets(scene):
                arguments = [argument_of(target, name, value) for name, value in values.items()]
                if arguments and all(a is not None for a in arguments):
                    yield from self.changed(sites, target, dict(a for a in arguments if a is not None))

    def _wanted(self, scene: Scene) -> Iterator[dict[str, Any]]:
        """Settings by their common name that the reference has: those that the evidence names, then all that differ."""
        told: dict[str, Any] = {}
        # Where it was the reference's call that was run, it was given what the port has.
        turned = ", the reference's " in self.cause.evidence
        for name, value, own in _IN_PLACE.findall(self.cause.evidence):
            told[name] = _value(own if turned else value)
        reference = self.found.reference
        both: dict[str, Any] = {}
        if scene.call is not None and reference is not None and reference.call is not None:
            theirs = canonical(reference, reference.call)
            both = {name: theirs[name] for name in differing(canonical(scene, scene.call), theirs)}
            if self.cause.cause == "momentum" and "momentum" in theirs:
                told = {"momentum": theirs["momentum"]}
        if self.cause.cause == "dropout_mode":
            told = {"mode": "upscale_in_train"}
        exact = {name: both.get(name, value) for name, value in told.items()}
        of_cause = {n: v for n, v in both.items() if CAUSES.get(n) == self.cause.cause}
        for values in (exact, of_cause, both):
            if values:
                yield values

    def _targets(self, scene: Scene) -> Iterator[tuple[Target, Sites]]:
        """What takes the settings: the layer at the place, the call in the user's code, a layer of the recipe."""
        call = scene.call
        if call is None:
            return
        layer = scene.module.startswith(LAYER) and bool(self.made.layers.get(scene.path))
        if layer:
            target = Target.named(scene.module)
            if target is not None:
                yield target, self.made.layers[scene.path]
        target = Target.named(call.name)
        if target is None:
            return
        line = call.line or scene.line
        for site in self.on_line(line, call.name.rpartition(".")[2]):
            yield target, [site]
        if not layer:
            for thing, sites in self.made.others:
                made_by = Target.of(type(thing))
                if sites and type(thing).__module__.startswith("paddle.nn.layer") and made_by.does(call.name):
                    yield made_by, sites

    def on_line(self, line: str, name: str) -> Sites:
        """The calls of what goes by a name on ``file:line``, as sites."""
        file, _, number = line.rpartition(":")
        source = self.source(Path(file)) if number.isdigit() else None
        if source is None:
            return []
        return [optimizers.site_of(source.file, node) for node in source.calls_on(int(number), name)]

    def changed(self, sites: Sites, target: Target, values: dict[str, Any]) -> Iterator[list[Edit]]:
        """Ways to give what is made at a site other values: at the site itself, or where they come from."""
        if not sites:
            return
        ways: list[list[list[Edit]]] = []
        for name, value in values.items():
            held = list(self._ways(sites, 0, name, target.index(name), value))
            ways.append(held)
        if not all(ways):
            return
        for nth in range(max(len(held) for held in ways)):
            chosen = [held[min(nth, len(held) - 1)] for held in ways]
            edits = [edit for part in chosen for edit in part]
            source = self.source(edits[0].file) if edits else None
            joined = together(source, edits) if source is not None else None
            if joined:
                yield joined

    def _ways(
        self, sites: Sites, depth: int, name: str, index: int | None, value: Any
    ) -> Iterator[list[Edit]]:
        if depth >= len(sites):
            return
        site = sites[depth]
        source = self.source(site.file)
        call = source.call_at(site) if source is not None else None
        if source is None or call is None:
            return
        held = given(call, name, index)
        around = source.functions_around(call)
        passed = held if isinstance(held, ast.Name) else None
        if held is None and isinstance(spread(call), ast.Name):
            # Given by a caller, perhaps, under the same name.
            yield from self._ways(sites, depth + 1, name, None, value)
        elif passed is not None and around and has_parameter(around[0], passed.id):
            yield from self._from_callers(sites, depth, source, around[0], passed.id, value)
        if value is None and held is not None and any(k.arg == name for k in call.keywords):
            yield without_argument(source, call, name)
        yield with_argument(source, call, name, index, text_of(source, value))

    def _from_callers(
        self, sites: Sites, depth: int, source: Source, function: ast.FunctionDef, name: str, value: Any
    ) -> Iterator[list[Edit]]:
        """Where a function's parameter gets its value: its caller, or its own default."""
        index = parameter_index(
            function, name, method=function.name == "__init__" or _is_method(source, function)
        )
        outer = sites[depth + 1] if depth + 1 < len(sites) else None
        above = self.source(outer.file) if outer is not None else None
        call = above.call_at(outer) if above is not None and outer is not None else None
        if call is not None and (given(call, name, index) is not None or spread(call) is not None):
            yield from self._ways(sites, depth + 1, name, index, value)
            return
        default = default_of(function, name)
        if default is not None:
            yield [source.replaced(default, text_of(source, value))]
        if call is not None:
            yield from self._ways(sites, depth + 1, name, index, value)

    def _renamed(self, sites: Sites, name: str, values: dict[str, Any]) -> Iterator[list[Edit]]:
        """Another class in the place of the one that is made, with values of its own."""
        source = self.source(sites[0].file) if sites else None
        call = source.call_at(sites[0]) if source is not None else None
        if source is None or call is None:
            return
        for edits in rewrites.renamed(source, call, name):
            more = [with_argument(source, call, n, None, text_of(source, v)) for n, v in values.items()]
            yield [*edits, *(edit for part in more for edit in part)]

    # --- settings of the recipe, parameters that one side lacks -------------------------------------------------------

    def _recipe_settings(self) -> Iterator[list[Edit]]:
        names = {"schedule_unit": "schedule_every", "accumulation": "accumulate"}
        name = names.get(self.cause.cause)
        if name is None or self.found.recordings is None:
            return
        value = self.found.recordings[1].data["settings"].get(name)
        for source in self.every:
            for node in ast.walk(source.tree):
                if isinstance(node, ast.Call) and called(node) == "Recipe":
                    site = optimizers.site_of(source.file, node)
                    yield from self._ways([site], 0, name, None, value)

    def _inventory(self) -> Iterator[list[Edit]]:
        """Parameters that a layer is told to have, or not to have."""
        unmatched: list[tuple[str, str]] = self.found.facts.get("unmatched", [])
        paths = dict.fromkeys(name.rpartition(".")[0] for _, name in unmatched)
        for path in [self.found.place, *paths]:
            sites = self.made.layers.get(path)
            kind = self.made.kinds.get(path)
            if not sites or kind is None:
                continue
            held = {n.rpartition(".")[2]: side for side, n in unmatched if n.rpartition(".")[0] == path}
            values: dict[str, Any] = {}
            for leaf, side in held.items():
                values["bias_attr" if "bias" in leaf else "weight_attr"] = False if side == "port" else None
            target = Target.of(kind)
            groups = self._groups(path)
            if groups is not None and target.takes("groups"):
                yield from self.changed(sites, target, {"groups": groups})
            if values and all(target.takes(name) for name in values):
                yield from self.changed(sites, target, values)

    def _bias(self, scene: Scene) -> Iterator[list[Edit]]:
        """A bias that one side alone has, seen in what the layer gives."""
        target = Target.named(scene.module)
        if target is not None and target.takes("bias_attr") and self.made.layers.get(scene.path):
            alone = "the port's alone" in self.cause.evidence
            yield from self.changed(
                self.made.layers[scene.path], target, {"bias_attr": False if alone else None}
            )

    def _groups(self, path: str) -> int | None:
        """The groups of a convolution whose weight takes fewer channels in the reference."""
        if self.found.recordings is None:
            return None
        told = re.search(r"has the shape (\[[^\]]*\]) in place of (\[[^\]]*\])", self.cause.evidence)
        mine, theirs = (ast.literal_eval(shape) for shape in told.groups()) if told else ([], [])
        if len(mine) < 3 or len(mine) != len(theirs) or mine[0] != theirs[0] or mine[1] % theirs[1]:
            return None
        return int(mine[1] // theirs[1]) if mine[1] != theirs[1] else None

    def _initial(self) -> Iterator[list[Edit]]:
        """The constant that a layer's weight or bias starts from."""
        told = _CONSTANT.search(self.cause.evidence)
        path, _, leaf = self.found.place.rpartition(".")
        sites, kind = self.made.layers.get(path), self.made.kinds.get(path)
        if told is None or not sites or kind is None:
            return
        source = self.source(sites[0].file)
        names = ("paddle.ParamAttr", "paddle.nn.initializer.Constant")
        attribute, constant = (source.spelled(n) if source is not None else n for n in names)
        value = Code(f"{attribute}(initializer={constant}({told[2]}))")
        target = Target.of(kind)
        name = "bias_attr" if "bias" in leaf else "weight_attr"
        if target.takes(name):
            yield from self.changed(sites, target, {name: value})

    def _constants(self) -> Iterator[list[Edit]]:
        """A number of the port's that the evidence names beside the reference's, where the source has it."""
        told = re.search(
            rf"the port's .*? (?:of|is) {_NUMBER}, the reference's (?:.*? of )?{_NUMBER}", self.cause.evidence
        )
        if told is None:
            return
        mine, theirs = float(told[1]), _value(told[2])
        count = 0
        for source in self.every:
            for node in ast.walk(source.tree):
                number = isinstance(node, ast.Constant) and type(node.value) in (int, float)
                if number and node.value == mine and count < MOST_CONSTANTS:  # type: ignore[attr-defined]
                    count += 1
                    yield [source.replaced(node, repr(theirs))]  # type: ignore[arg-type]


_NUMBER = r"(-?\d[\d.]*(?:e-?\d+)?)"


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _is_method(source: Source, function: ast.FunctionDef) -> bool:
    return any(
        isinstance(c, ast.ClassDef) and any(inner is function for inner in c.body)
        for c in ast.walk(source.tree)
    )
