"""Which tensor of the reference is which of the port, and how its elements are laid out there.

The rules are those of ``fuxian.weights``; here they work on recorded trees, so that a port can be recorded and
compared where the reference's framework is not installed, and they go on where the two do not fit completely.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np

from fuxian.errors import InputError
from fuxian.weights.layout import Node, Piece, Place, Tree, tree_of_model
from fuxian.weights.matching import Layouts, Matching, match
from fuxian.weights.overrides import Overrides
from fuxian.weights.sequences import match_in_order


@dataclass
class Links:
    """``pairs`` of (port's place, reference's place); the names that found no partner; sentences on why."""

    pairs: list[tuple[Place, Place]]
    port_aliases: dict[str, str]
    reference_aliases: dict[str, str]
    port_left: list[str]
    reference_left: list[str]
    problems: list[str]

    @property
    def complete(self) -> bool:
        return not (self.port_left or self.reference_left or self.problems)

    def reference_names(self, port_name: str) -> list[str]:
        """The reference's tensors that make up the port's."""
        name = self.port_aliases.get(port_name, port_name)
        return list(dict.fromkeys(reference.tensor for port, reference in self.pairs if port.tensor == name))

    def port_names(self, reference_name: str) -> list[str]:
        """The port's tensors that the reference's goes into."""
        name = self.reference_aliases.get(reference_name, reference_name)
        return list(dict.fromkeys(port.tensor for port, reference in self.pairs if reference.tensor == name))

    def convert(
        self, tensors: Mapping[str, np.ndarray], port_shapes: Mapping[str, Sequence[int]]
    ) -> dict[str, np.ndarray]:
        """The reference's tensors (weights, gradients, states) as the port lays them out, by the port's names.

        What is incomplete or of another size is left out.
        """
        return self.convert_each(tensors.get, port_shapes)

    def convert_each(
        self, get: Callable[[str], np.ndarray | None], port_shapes: Mapping[str, Sequence[int]]
    ) -> dict[str, np.ndarray]:
        """As ``convert``, the reference's tensors asked for by name, None where there is none."""
        made = {}
        for name in port_shapes:
            array = self.to_port(name, get, tuple(port_shapes[name]))
            if array is not None:
                made[name] = array
        return made

    def to_port(
        self, name: str, get: Callable[[str], np.ndarray | None], shape: tuple[int, ...]
    ) -> np.ndarray | None:
        """One tensor of the port from the reference's; None where that is incomplete or does not fit."""
        source = self.port_aliases.get(name, name)
        blocks: dict[int, np.ndarray] = {}
        place = None
        for port, reference in self.pairs:
            if port.tensor == source and port.part not in blocks:
                array = get(reference.tensor)
                if array is None or array.shape != reference.shape:
                    return None
                blocks[port.part] = _block(array, reference)
                place = port
        if place is None or len(blocks) != place.parts:
            return None
        parts = [blocks[part] for part in range(place.parts)]
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
        stored = shape[::-1] if place.layout == "transposed" else shape
        if whole.size != int(np.prod(shape)):
            return None
        whole = whole.reshape(stored)
        return np.ascontiguousarray(whole.T if place.layout == "transposed" else whole)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def _block(array: np.ndarray, place: Place) -> np.ndarray:
    """The rows of a stored tensor that a place names, in the common layout."""
    array = array.T if place.layout == "transposed" else array
    rows = len(array) // place.parts if place.parts > 1 else 0
    return array[place.part * rows : (place.part + 1) * rows] if rows else array


def links_from_json(data: Mapping[str, Any]) -> Links:
    """Links, read back."""
    pairs = [(_place(port), _place(reference)) for port, reference in data["pairs"]]
    return Links(**{**data, "pairs": pairs})


def _place(data: Mapping[str, Any]) -> Place:
    return Place(**{**data, "shape": tuple(data["shape"])})


def tree_to_json(model: Any, call_order: Sequence[str] | None = None) -> dict[str, Any]:
    """The model's trees as a recording holds them: with tied tensors once, and where any are, also apart."""
    together = tree_of_model(model, False, call_order)
    trees = {"together": asdict(together)}
    if together.aliases:
        trees["apart"] = asdict(tree_of_model(model, True, call_order))
    return trees


def _tree(data: Mapping[str, Any]) -> Tree:
    names = {name: tuple(shape) for name, shape in data["names"].items()}
    return Tree(**{**data, "root": _node(data["root"]), "names": names})


def _node(data: Mapping[str, Any]) -> Node:
    pieces = [Piece(p["role"], tuple(p["shape"]), _place(p["place"])) for p in data["pieces"]]
    return Node(
        data["path"], data["family"], data["class_name"], pieces, [_node(c) for c in data["children"]]
    )


Orders = tuple[Mapping[str, int], Mapping[str, int]]
"""By the port's and by the reference's tensor: when a forward pass first used it."""


def link(port: Mapping[str, Any], reference: Mapping[str, Any], overrides: Overrides | None = None) -> Links:
    """Links between two recorded models (``tree_to_json``), complete where they fit, else as far as is certain.

    What ``overrides``, a mapping file, names goes before everything else.

    Raises InputError when the recorded trees are damaged, or the mapping file does not fit them.
    """
    return candidates(port, reference, overrides)[0].links


@dataclass(frozen=True)
class Candidate:
    """Links that may be right. ``certain`` where names alone, or a mapping file, say so of every tensor."""

    links: Links
    certain: bool


def candidates(
    port: Mapping[str, Any],
    reference: Mapping[str, Any],
    overrides: Overrides | None = None,
    orders: Orders | None = None,
) -> list[Candidate]:
    """The links that names and structure give, the likeliest first; with ``orders`` those that the order of execution
    gives too. Square matrices of which one side alone says how they lie are tried both ways.

    Raises InputError as ``link`` does.
    """
    found: list[Candidate] = []
    try:
        for tied in sorted(product(("together", "apart"), repeat=2), key=lambda pair: pair[0] != pair[1]):
            if tied[0] in port and tied[1] in reference:
                trees = _tree(port[tied[0]]), _tree(reference[tied[1]])
                found += _of_trees(*trees, overrides or Overrides(), orders)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"The recorded module tree is damaged ({error}); record again.") from error
    return _distinct(sorted(found, key=lambda candidate: not candidate.links.complete))


def _of_trees(
    port: Tree, reference: Tree, overrides: Overrides, orders: Orders | None
) -> Iterator[Candidate]:
    named = overrides.links(port, reference)

    def candidate(matching: Matching) -> Candidate:
        pairs = [(one.port, one.reference) for one in named]
        pairs += [(m.port.place, m.reference.place) for m in matching.matches]
        into = {place.tensor for place, _ in pairs}
        taken = {place.tensor for _, place in pairs}
        links = Links(
            pairs,
            {alias: name for alias, name in port.aliases.items() if alias not in into},
            {alias: name for alias, name in reference.aliases.items() if alias not in taken},
            list(dict.fromkeys(piece.place.tensor for _, piece in matching.port_left)),
            list(dict.fromkeys(piece.place.tensor for _, piece in matching.reference_left)),
            matching.problems,
        )
        by_name = all(m.how == "name" for m in matching.matches) and not matching.squares
        return Candidate(links, by_name and links.complete)

    ways: list[Callable[[Layouts | None], Matching]] = [lambda told: match(port, reference, told)]
    if orders is not None:
        ways.append(lambda told: match_in_order(port, reference, orders, told))
    for way in ways:
        matching = way(None)
        yield candidate(matching)
        if matching.squares:
            for told in ("straight", "turned"):
                yield candidate(way(dict.fromkeys(matching.squares, told)))


def _distinct(found: Sequence[Candidate]) -> list[Candidate]:
    kept: list[Candidate] = []
    for candidate in found:
        pairs = set(candidate.links.pairs)
        if not any(pairs == set(other.links.pairs) for other in kept):
            kept.append(candidate)
    return kept
