"""Pairs the tensors of two trees: by name first, then by structure and order; never by shape alone.

Names are compared without case and separators, at each level of nesting. Numbered layers are counted, since a
layer without tensors takes a number too. Layers that no name pairs are paired in order, and only if the whole
sequence fits and nothing speaks against it; a layer of one side may stand for several of the other (nesting).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from fuxian.weights.layout import Layout, Node, Piece, Place, Tree, squashed, squeezed

How = Literal["name", "order", "map"]

_SYNONYMS = {
    squashed(word): part
    for part, words in {
        "q": ("query", "q_proj", "query_proj", "to_q", "wq", "q_lin", "linear_q", "fc_q"),
        "k": ("key", "k_proj", "key_proj", "to_k", "wk", "k_lin", "linear_k", "fc_k"),
        "v": ("value", "v_proj", "value_proj", "to_v", "wv", "v_lin", "linear_v", "fc_v"),
    }.items()
    for word in words
}
_SAME_ARITHMETIC = frozenset({frozenset({"linear", "convolution"})})


@dataclass(frozen=True)
class Match:
    """One piece of the port and the piece of the reference that belongs into it."""

    port: Piece
    reference: Piece
    how: How
    note: str = ""


@dataclass
class Matching:
    """The pairs; the pieces that found no partner; and why, a sentence each."""

    matches: list[Match] = field(default_factory=list)
    port_left: list[tuple[Node, Piece]] = field(default_factory=list)
    reference_left: list[tuple[Node, Piece]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    squares: list[tuple[str, str]] = field(default_factory=list)
    """Classes (port's, reference's) of square matrices, of which one at most says how it lies."""

    @property
    def complete(self) -> bool:
        return not (self.port_left or self.reference_left or self.problems)


Layouts = Mapping[tuple[str, str], Literal["straight", "turned"]]


def match(port: Tree, reference: Tree, layouts: Layouts | None = None) -> Matching:
    """Pair every piece of the two trees, as far as names, structure and order say.

    ``layouts`` says how the square matrices of two classes lie to each other, where only one of them is known.
    """
    port, reference = join_fused(port, reference)

    def run(matcher: Matcher) -> None:
        matcher.nodes(port.root, reference.root, "name")
        matcher.rest()

    return settled(lambda told: Matcher(port, reference, told), run, layouts)


def settled(
    make: Callable[[Layouts], Matcher], run: Callable[[Matcher], None], layouts: Layouts | None
) -> Matching:
    """What a matcher finds; of two classes whose matrices fit one way alone, the square ones are taken likewise."""
    matcher = make(layouts or {})
    run(matcher)
    told = {kinds: way for kinds, way in matcher.told.items() if kinds in matcher.squares}
    if told and not layouts:
        matcher = make(told)
        run(matcher)
    matcher.result.squares = sorted(matcher.squares)
    return matcher.result


def join_fused(port: Tree, reference: Tree) -> tuple[Tree, Tree]:
    """The trees with query, key and value in one piece where the other side keeps them so in a class of its own, whose
    rows cannot be told from its columns."""
    fused = [{squashed(n.name) for n in _every(tree.root) if _is_fused(n)} for tree in (port, reference)]
    whole = [{squashed(n.name) for n in _every(tree.root) if _is_unit(n)} for tree in (port, reference)]
    made = [
        replace(tree, root=_joined(tree.root, names))
        if (names := fused[i] & (whole[1 - i] - fused[1 - i]))
        else tree
        for i, tree in enumerate((port, reference))
    ]
    return made[0], made[1]


def _every(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _every(child)


def _is_fused(node: Node) -> bool:
    """Whether a layer's three children are thirds of its own tensors."""
    return len(node.children) == 3 and all(c.pieces and c.pieces[0].place.parts == 3 for c in node.children)


def _joined(node: Node, names: set[str]) -> Node:
    if not (_is_fused(node) and squashed(node.name) in names):
        return replace(node, children=[_joined(child, names) for child in node.children])
    pieces = [
        replace(p, shape=(3 * p.shape[0], *p.shape[1:]), place=replace(p.place, part=0, parts=1))
        for p in node.children[0].pieces
    ]
    return replace(node, pieces=[*node.pieces, *pieces], children=[])


def alike_arithmetic(one: Node, two: Node) -> bool:
    """Whether two layers of known classes compute the same."""
    return one.family == two.family or frozenset({one.family, two.family}) in _SAME_ARITHMETIC


def _parts(node: Node) -> list[Node]:
    """The node's own tensors as a layer of their own, and its sublayers."""
    if not node.children:
        return [node]
    if not node.pieces:
        return list(node.children)
    return [replace(node, children=[]), *node.children]


def _inside(node: Node) -> Node:
    """The only layer inside layers that wrap just one."""
    while len(parts := _parts(node)) == 1 and parts[0] is not node:
        (node,) = parts
    return node


def _is_unit(node: Node) -> bool:
    return not node.children


def _numbered(nodes: Sequence[Node]) -> bool:
    return bool(nodes) and all(node.name.isdigit() for node in nodes)


def _last_name(node: Node) -> str | None:
    name = squashed(node.name)
    return _SYNONYMS.get(name, name)


def _full_name(node: Node) -> str | None:
    return None if any(part.isdigit() for part in node.path.split(".")) else squashed(node.path)


_Left = tuple[Node, Piece]


def _turned(piece: Piece) -> Piece:
    layout: Layout = "same" if piece.place.layout == "transposed" else "transposed"
    return replace(piece, shape=piece.shape[::-1], place=replace(piece.place, layout=layout))


class Matcher:
    def __init__(self, port: Tree, reference: Tree, layouts: Layouts | None = None) -> None:
        self.result = Matching()
        self.layouts = layouts or {}
        self.told: dict[tuple[str, str], Literal["straight", "turned"]] = {}
        """How the matrices of two classes lie to each other, where they fit one way alone."""
        self.squares: set[tuple[str, str]] = set()
        self.ordered = port.ordered and reference.ordered
        self.executed = port.executed and reference.executed
        self.refused: set[Place] = set()
        self.typed = port.typed and reference.typed
        self.position = {
            (side, piece.place): index
            for side, tree in (("port", port), ("reference", reference))
            for index, piece in enumerate(tree.root.all_pieces())
        }

    def nodes(self, port: Node, reference: Node, how: How) -> None:
        port, reference = _inside(port), _inside(reference)
        if _is_unit(port) and _is_unit(reference):
            self.units(port, reference, how)
        else:
            self.lists(_parts(port), _parts(reference))

    def lists(self, port: list[Node], reference: list[Node]) -> None:
        """Pair two sequences of layers, opening those that stand for several of the other side."""
        pairs: list[tuple[Node, Node, How]] = []
        while True:
            named, port, reference = _pair_by_name(port, reference)
            pairs += [(p, r, "name") for p, r in named]
            differing = _first_difference(port, reference)
            if differing is None:
                against = self.against_order(list(zip(port, reference, strict=True)), pairs)
                if against:
                    self.result.problems.append(against)
                    self.leave(port, reference)
                else:
                    pairs += [(p, r, "order") for p, r in zip(port, reference, strict=True)]
                break
            if not _open_one(port, reference, differing):
                in_groups, port, reference = self.pair_in_groups(port, reference)
                pairs += [(p, r, "order") for p, r in in_groups]
                salvaged, port, reference = _pair_what_is_named_alike(port, reference)
                pairs += [(p, r, "name") for p, r in salvaged]
                self.leave(port, reference)
                break
        for p, r, how in pairs:
            self.nodes(p, r, how)

    def pair_in_groups(
        self, port: list[Node], reference: list[Node]
    ) -> tuple[list[tuple[Node, Node]], list[Node], list[Node]]:
        """Pairs of layers of one class and size among these few: the only one, or by order of execution."""
        if not self.typed:
            return [], port, reference
        pairs: list[tuple[Node, Node]] = []
        for kind in {_kind(node) for node in port}:
            ours = [node for node in port if _kind(node) == kind]
            theirs = [node for node in reference if _kind(node) == kind]
            if len(ours) == len(theirs) and (len(ours) == 1 or self.executed):
                pairs += zip(ours, theirs, strict=True)
        return _without(pairs, port, reference)

    def leave(self, port: Sequence[Node], reference: Sequence[Node]) -> None:
        for nodes, left in ((port, self.result.port_left), (reference, self.result.reference_left)):
            for node in nodes:
                left += [(unit, piece) for unit in units(node) for piece in unit.pieces]

    def against_order(self, in_order: list[tuple[Node, Node]], by_name: list[tuple[Node, Node, How]]) -> str:
        """Why these layers must not be paired by their order, or an empty text."""
        groups: dict[str, list[tuple[Node, Node]]] = {}
        for p, r in in_order:
            groups.setdefault(str(p.signature()), []).append((p, r))
        for signature, group in groups.items():
            names = f"{_list([p.path for p, _ in group])} with {_list([r.path for _, r in group])}"
            if not self.ordered and len(in_order) > 1:
                return f"ambiguous: {names} (the file does not keep the order of its tensors)"
            numbers = [(_number(p), _number(r)) for p, r in group]
            if len(group) > 1 and all(a is not None and b is not None for a, b in numbers):
                by_port = sorted(range(len(group)), key=lambda i: numbers[i][0] or 0)
                by_reference = sorted(range(len(group)), key=lambda i: numbers[i][1] or 0)
                if by_port != by_reference:
                    return f"ambiguous: {names} (their numbers and their order disagree)"
            alike = [(p, r) for p, r, _ in by_name if str(p.signature()) == signature]
            for p, r in group:
                for other_p, other_r in alike:
                    if (self.at("port", p) < self.at("port", other_p)) != (
                        self.at("reference", r) < self.at("reference", other_r)
                    ):
                        return (
                            f"ambiguous: {p.path} with {r.path} (by order), while {other_p.path} and"
                            f" {other_r.path} of the same shapes have the same name"
                        )
        return ""

    def at(self, side: str, node: Node) -> int:
        return min(self.position[side, piece.place] for piece in node.all_pieces())

    def units(self, port: Node, reference: Node, how: How) -> None:
        """Pair the pieces of two layers by their role."""
        differ = None not in (port.family, reference.family) and not alike_arithmetic(port, reference)
        if differ and how == "order":
            self.result.problems.append(
                f"{port.path} is a {port.class_name} and {reference.path} a {reference.class_name}"
            )
            self.leave([port], [reference])
            return
        note = f"{port.class_name} holds what {reference.class_name} held" if differ else ""
        roles = {piece.role: piece for piece in reference.pieces}
        matched = set()
        for piece in port.pieces:
            other = roles.get(piece.role)
            if other is not None:
                matched.add(piece.role)
                self.fit((port, piece), (reference, other), how, note)
        left = [[p for p in node.pieces if p.role not in matched] for node in (port, reference)]
        if how == "order" and None in (port.family, reference.family) and left[0]:
            sizes = [[squeezed(piece.shape) for piece in pieces] for pieces in left]
            if sizes[0] == sizes[1]:  # Other words for the same roles.
                for piece, other in zip(*left, strict=True):
                    self.fit((port, piece), (reference, other), how, note)
                left = [[], []]
        self.result.port_left += [(port, piece) for piece in left[0]]
        self.result.reference_left += [(reference, piece) for piece in left[1]]

    def fit(self, port_left: _Left, reference_left: _Left, how: How, note: str = "") -> None:
        """Record the pair, with the layout settled where one side's class does not say it."""
        (port_node, port), (reference_node, reference) = port_left, reference_left
        families = (port_node.family, reference_node.family)
        # Paddle keeps a layer norm over several axes as one flat vector.
        flat = "layer norm" in families and math.prod(port.shape) == math.prod(reference.shape)
        straight = squeezed(port.shape) == squeezed(reference.shape) or flat
        matrix = len(squeezed(port.shape)) == 2
        turned = matrix and squeezed(port.shape) == squeezed(reference.shape)[::-1]
        unknown = families.count(None) if self.typed else int(port_node.family is None)
        about = f"{port.place.tensor} and {reference.place.tensor}"
        kinds = (port_node.class_name, reference_node.class_name)
        told = self.layouts.get(kinds)
        if matrix and unknown and straight != turned:
            self.told[kinds] = "straight" if straight else "turned"
        if unknown and straight and turned:
            self.squares.add(kinds)
            straight = told != "turned"
        if straight and turned and unknown == 1 and "linear" in families and told is None:
            why = (
                f"ambiguous: {about} are square and only one side's class says its layout (give a transform)"
            )
            self.refuse(port_left, reference_left, why)
        elif straight:
            if turned and unknown and told is None:
                note = "a square matrix whose class does not say its layout: taken as it is"
            self.result.matches.append(Match(port, reference, how, note))
        elif turned and unknown:
            if port_node.family is None:
                port = _turned(port)
            else:
                reference = _turned(reference)
            self.result.matches.append(Match(port, reference, how, "fits only when transposed"))
        else:
            shapes = f"{_shape(port)} and {_shape(reference)}"
            self.refuse(port_left, reference_left, f"{about} correspond by {how}, but are {shapes}")

    def refuse(self, port_left: _Left, reference_left: _Left, why: str) -> None:
        self.result.problems.append(why)
        self.result.port_left.append(port_left)
        self.result.reference_left.append(reference_left)
        self.refused |= {port_left[1].place, reference_left[1].place}

    def rest(self) -> None:
        """Pair what is left where one side keeps its tensors without layers: by whole name, then by order."""
        port = [left for left in self.result.port_left if left[1].place not in self.refused]
        reference = [left for left in self.result.reference_left if left[1].place not in self.refused]
        keys = [Counter(_piece_name(*left) for left in side) for side in (port, reference)]
        by_key = {_piece_name(node, piece): (node, piece) for node, piece in reference}
        pairs = [
            (left, by_key[name])
            for left in port
            if keys[0][name := _piece_name(*left)] == 1 and keys[1][name] == 1
        ]
        how: How = "name"
        if not pairs and self.ordered and not self.result.problems and _same_sequence(port, reference):
            pairs, how = list(zip(port, reference, strict=True)), "order"
        for left, right in pairs:
            self.result.port_left.remove(left)
            self.result.reference_left.remove(right)
            self.fit(left, right, how)


def units(node: Node) -> list[Node]:
    return [node] if _is_unit(node) else [unit for part in _parts(node) for unit in units(part)]


def _piece_name(node: Node, piece: Piece) -> str:
    return squashed(f"{node.path}.{piece.role}")


def _same_sequence(port: Sequence[tuple[Node, Piece]], reference: Sequence[tuple[Node, Piece]]) -> bool:
    """Whether both hold the same sizes in the same order, one of them in a class of its own."""
    sizes = [[sorted(squeezed(piece.shape)) for _, piece in side] for side in (port, reference)]
    own = [all(node.family is None for node, _ in side) for side in (port, reference)]
    return bool(port) and sizes[0] == sizes[1] and any(own)


def _pair_by_name(
    port: list[Node], reference: list[Node]
) -> tuple[list[tuple[Node, Node]], list[Node], list[Node]]:
    """Pairs of layers with one name and the same sizes; and the layers left on each side."""
    if _numbered(port) and _numbered(reference) and _first_difference(port, reference) is None:
        return list(zip(port, reference, strict=True)), [], []
    pairs: list[tuple[Node, Node]] = []
    for naming in (_full_name, _last_name):
        counts = [Counter(naming(node) for node in side) for side in (port, reference)]
        by_name = {naming(node): node for node in reference}
        for node in list(port):
            name = naming(node)
            other = by_name.get(name)
            if (
                name is None
                or name.isdigit()
                or other is None
                or (counts[0][name], counts[1][name]) != (1, 1)
            ):
                continue
            if node.signature() == other.signature():
                pairs.append((node, other))
                port = [left for left in port if left is not node]
                reference = [left for left in reference if left is not other]
    return pairs, port, reference


def _first_difference(port: Sequence[Node], reference: Sequence[Node]) -> int | None:
    """Where two sequences of layers first differ in size; None when they are alike."""
    for index, (p, r) in enumerate(zip(port, reference, strict=False)):
        if p.signature() != r.signature():
            return index
    return None if len(port) == len(reference) else min(len(port), len(reference))


def _open_one(port: list[Node], reference: list[Node], index: int) -> bool:
    """Replace one layer by its parts, the larger one at ``index`` first; False when none has any."""
    here = [(nodes, at) for nodes in (port, reference) for at in range(len(nodes)) if at == index]
    elsewhere = [(nodes, at) for nodes in (port, reference) for at in range(len(nodes)) if at != index]
    for places in (here, elsewhere):
        places.sort(key=lambda place: -len(place[0][place[1]].signature()))
        for nodes, at in places:
            if not _is_unit(nodes[at]):
                nodes[at : at + 1] = _parts(nodes[at])
                return True
    return False


def _pair_what_is_named_alike(
    port: list[Node], reference: list[Node]
) -> tuple[list[tuple[Node, Node]], list[Node], list[Node]]:
    """For models that do not fit: pairs by name alone, so that the rest can be named precisely."""
    if len(port) == len(reference) and _numbered(port) and _numbered(reference):
        return list(zip(port, reference, strict=True)), [], []
    counts = [Counter(_last_name(node) for node in side) for side in (port, reference)]
    by_name = {_last_name(node): node for node in reference}
    pairs = [
        (node, by_name[name])
        for node in port
        if (counts[0][name := _last_name(node)], counts[1][name]) == (1, 1)
    ]
    return _without(pairs, port, reference)


def _without(
    pairs: list[tuple[Node, Node]], port: list[Node], reference: list[Node]
) -> tuple[list[tuple[Node, Node]], list[Node], list[Node]]:
    """The pairs, and the layers of each side that are in none."""
    taken = {id(node) for pair in pairs for node in pair}
    return (
        pairs,
        [node for node in port if id(node) not in taken],
        [node for node in reference if id(node) not in taken],
    )


def _kind(node: Node) -> tuple[str | None, str]:
    return node.family, str(node.signature())


def _number(node: Node) -> int | None:
    found = re.search(r"\d+", node.name)
    return int(found.group()) if found else None


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(name or "the model itself" for name in names[:6])
    return f"{shown} and {len(names) - 6} more" if len(names) > 6 else shown


def _shape(piece: Piece) -> str:
    return "x".join(map(str, piece.shape)) or "scalar"
