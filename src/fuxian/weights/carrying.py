"""Carries weights between a Paddle port and its torch reference, in both directions.

``plan`` says for every tensor of both sides where it goes and how it is laid out there; ``apply`` does it.
The plan is data: saved as JSON, it converts files with neither framework installed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal

import numpy as np

from fuxian.errors import InputError
from fuxian.weights.fitting import as_known, with_prefix
from fuxian.weights.layout import COUNTER, Place, Tree, tree_of_model, tree_of_tensors
from fuxian.weights.matching import Matching, match
from fuxian.weights.overrides import Overrides
from fuxian.weights.plans import Link, Plan

Direction = Literal["to_port", "to_reference"]


@dataclass
class Draft:
    """A plan with what it leaves open: names without a partner on each side, and why, a sentence each."""

    plan: Plan
    port_left: list[str]
    reference_left: list[str]
    problems: list[str]

    @property
    def complete(self) -> bool:
        return not (self.port_left or self.reference_left or self.problems)


def plan(
    port: Any,
    reference: Any,
    *,
    overrides: Overrides | None = None,
    port_order: Sequence[str] | None = None,
    reference_order: Sequence[str] | None = None,
    ordered: bool = True,
) -> Plan:
    """Where every parameter and buffer of the reference goes in the port.

    ``port`` is a live Paddle layer (or any live model). ``reference`` is a live torch module, or a torch
    state dict as arrays by name: then the port's classes alone decide the layout, and ``ordered=False`` says
    that the dict's order means nothing. ``port_order`` and ``reference_order`` are paths of modules in the
    order of execution; without them the order of definition counts, where names do not decide.

    Raises InputError with the list when a tensor is not accounted for.
    """
    made = draft(
        port,
        reference,
        overrides=overrides,
        port_order=port_order,
        reference_order=reference_order,
        ordered=ordered,
    )
    if made.complete:
        return made.plan
    reasons = list(made.problems)
    said = {word for problem in made.problems for word in re.split(r"[\s,;:()]+", problem)}
    for left, words in (
        (made.port_left, "nothing goes into the port's"),
        (made.reference_left, "no place for the reference's"),
    ):
        unsaid = [name for name in left if name not in said]
        reasons += [f"{words} {', '.join(unsaid)}"] if unsaid else []
    raise InputError(
        f"The weights cannot be mapped: {'; '.join(reasons)};"
        " correct the port, or name the pairs in a mapping file."
    )


def draft(
    port: Any,
    reference: Any,
    *,
    overrides: Overrides | None = None,
    port_order: Sequence[str] | None = None,
    reference_order: Sequence[str] | None = None,
    ordered: bool = True,
) -> Draft:
    """As ``plan``, for models that do not fit: the pairs that are certain, and what is left."""
    overrides = overrides or Overrides()

    def trees(tied_port: bool, tied_reference: bool) -> tuple[Tree, Tree]:
        port_tree = tree_of_model(port, tied_port, port_order)
        if isinstance(reference, Mapping):
            return port_tree, tree_of_tensors(reference, tied_reference, ordered)
        return port_tree, tree_of_model(reference, tied_reference, reference_order)

    drafts = []
    # Tied tensors count once, unless one side ties what the other keeps apart.
    for tied in sorted(product((False, True), repeat=2), key=lambda pair: pair[0] != pair[1]):
        port_tree, reference_tree = trees(*tied)
        links = overrides.links(port_tree, reference_tree)
        matching = match(port_tree, reference_tree)
        drafts.append(_draft(port_tree, reference_tree, links, matching, overrides))
        if drafts[-1].complete or not (port_tree.aliases or reference_tree.aliases):
            break
    return drafts[-1] if drafts[-1].complete else drafts[0]


def _draft(port: Tree, reference: Tree, links: list[Link], matching: Matching, overrides: Overrides) -> Draft:
    links = _whole(links + [Link(m.port.place, m.reference.place, m.how, m.note) for m in matching.matches])
    order = {name: index for index, name in enumerate(port.names)}
    links.sort(key=lambda link: (order[link.port.tensor], link.port.part))
    made = Plan(
        links,
        port.aliases,
        reference.aliases,
        {**port.dropped, **overrides.port_ignored},
        {**reference.dropped, **overrides.reference_ignored},
    )
    return Draft(
        made,
        _names(matching.port_left),
        _names(matching.reference_left),
        matching.problems,
    )


def _whole(links: list[Link]) -> list[Link]:
    """Parts of one tensor that all become the same parts of another are one link."""
    parts: dict[tuple[str, str], list[Link]] = {}
    for link in links:
        parts.setdefault((link.port.tensor, link.reference.tensor), []).append(link)
    whole: list[Link] = []
    for group in parts.values():
        one = group[0]
        same = all(link.port.part == link.reference.part for link in group)
        if same and one.port.parts == one.reference.parts == len(group):
            port = replace(one.port, part=0, parts=1)
            reference = replace(one.reference, part=0, parts=1)
            whole.append(Link(port, reference, one.how, one.note))
        else:
            whole += group
    return whole


def _names(left: Sequence[tuple[Any, Any]]) -> list[str]:
    return list(dict.fromkeys(piece.place.tensor for _, piece in left))


def _shown(names: Sequence[str], most: int = 20) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def apply(
    plan: Plan, tensors: Mapping[str, np.ndarray], direction: Direction = "to_port"
) -> dict[str, np.ndarray]:
    """The tensors of the other side, under all names of its state dict, with the dtypes they came with.

    Raises InputError when a tensor is missing, left over or of another shape than planned, and when tensors
    that the target ties differ.
    """
    forward = direction == "to_port"
    pairs = [(link.reference, link.port) if forward else (link.port, link.reference) for link in plan.links]
    source_aliases = plan.reference_aliases if forward else plan.port_aliases
    target_aliases = plan.port_aliases if forward else plan.reference_aliases
    dropped = plan.reference_dropped if forward else plan.port_kept
    sources = _sources(pairs, tensors, source_aliases, dropped)

    blocks: dict[str, dict[int, np.ndarray]] = {}
    places: dict[str, Place] = {}
    for source, target in pairs:
        block = _common(sources[source.tensor], source)
        earlier = blocks.setdefault(target.tensor, {}).setdefault(target.part, block)
        if not _equal(earlier, block):
            raise InputError(
                f"{target.tensor} is one tensor here, but {source.tensor} and what else goes into it differ;"
                " untie it, or ignore one in a mapping file."
            )
        places[target.tensor] = target
    made = {}
    for name, place in places.items():
        if len(blocks[name]) != place.parts:
            raise InputError(
                f"The plan fills only {len(blocks[name])} of {place.parts} parts of {name}; make it again."
            )
        made[name] = _stored([blocks[name][part] for part in range(place.parts)], place)
    for alias, name in target_aliases.items():
        one = made.setdefault(name, made[alias]) if alias in made else made.get(name)
        if one is None:
            continue
        if not _equal(made.setdefault(alias, one), one):
            raise InputError(
                f"{alias} and {name} are one tensor in the model, but what goes into them differs;"
                " untie them, or ignore one in a mapping file."
            )
    if not forward:
        counters = [name for name in plan.reference_dropped if name.rpartition(".")[2] == COUNTER]
        made |= {name: np.zeros((), np.int64) for name in counters}
    return made


def renamed(
    plan: Plan, tensors: Mapping[str, np.ndarray], direction: Direction, prefix: str | None = None
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The tensors under the names that the plan reads, and what was done for it, a sentence each.

    Without ``prefix`` what stands before the names is found by what fits. Raises InputError where nothing or more than
    one prefix does.
    """
    forward = direction == "to_port"
    places = [link.reference if forward else link.port for link in plan.links]
    aliases = plan.reference_aliases if forward else plan.port_aliases
    dropped = plan.reference_dropped if forward else plan.port_kept
    known = {*(place.tensor for place in places), *aliases, *aliases.values(), *dropped}
    return as_known(tensors, known) if prefix is None else with_prefix(tensors, prefix, known)


def fits(plan: Plan, tensors: Mapping[str, np.ndarray], direction: Direction) -> bool:
    """Whether every tensor that the plan reads is there under its name, with its shape."""
    places = [link.reference if direction == "to_port" else link.port for link in plan.links]
    return bool(places) and all(
        place.tensor in tensors and tensors[place.tensor].shape == place.shape for place in places
    )


def _sources(
    pairs: Sequence[tuple[Place, Place]],
    tensors: Mapping[str, np.ndarray],
    aliases: Mapping[str, str],
    dropped: Mapping[str, str],
) -> dict[str, np.ndarray]:
    """The tensors that the plan reads, a tied one under its first name; every tensor is accounted for."""
    shapes = {place.tensor: place.shape for place, _ in pairs}
    known = {*shapes, *aliases, *aliases.values(), *dropped}
    tensors, _ = as_known(tensors, known)
    unknown = [name for name in tensors if name not in known]
    found = dict(tensors)
    for alias, name in aliases.items():
        one = found.get(name, found.get(alias))
        if one is None:
            continue
        if not _equal(found.setdefault(alias, one), found.setdefault(name, one)):
            raise InputError(
                f"{alias} and {name} are one tensor in the model but differ in the file; make them equal."
            )
    wrong = [
        f"missing {_shown([name for name in shapes if name not in found])}"
        if set(shapes) - set(found)
        else "",
        f"not planned for {_shown(unknown)}" if unknown else "",
        *(
            f"{name} has shape {found[name].shape} instead of {shape}"
            for name, shape in shapes.items()
            if name in found and found[name].shape != shape
        ),
    ]
    if any(wrong):
        raise InputError(
            f"The tensors do not fit the plan: {'; '.join(filter(None, wrong))}; check the file."
        )
    return found


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    return one is other or np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")


def _common(array: np.ndarray, place: Place) -> np.ndarray:
    array = array.T if place.layout == "transposed" else array
    if place.parts == 1:
        return array
    rows = array.shape[0] // place.parts
    return array[place.part * rows : (place.part + 1) * rows]


def _stored(blocks: Sequence[np.ndarray], place: Place) -> np.ndarray:
    array = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
    common = place.shape[::-1] if place.layout == "transposed" else place.shape
    array = array.reshape(common)
    return np.ascontiguousarray(array.T) if place.layout == "transposed" else array
