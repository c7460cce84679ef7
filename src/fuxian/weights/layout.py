"""Models as trees of tensors in one layout, so that both frameworks' trees can be laid side by side.

The layout is the one most torch modules use: a linear weight is [out, in], attention has separate q, k and
v, a recurrent network has one tensor per layer, direction and role. The layer's class says how a stored
tensor relates to it (``paddle.nn.Linear`` stores the transpose, ``paddle.compat.nn.Linear`` does not). A
class that is not known here owns its tensors as they are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from fuxian.errors import InputError

Layout = Literal["same", "transposed"]

FAMILIES = {
    "Linear": "linear",
    "LazyLinear": "linear",
    "Bilinear": "bilinear",
    "Embedding": "embedding",
    "EmbeddingBag": "embedding",
    "LayerNorm": "layer norm",
    "RMSNorm": "rms norm",
    "GroupNorm": "group norm",
    "PReLU": "prelu",
    "LSTM": "recurrent",
    "GRU": "recurrent",
    "RNN": "recurrent",
    "BiRNN": "recurrent",
    "SimpleRNN": "recurrent",
    "LSTMCell": "recurrent",
    "GRUCell": "recurrent",
    "RNNCell": "recurrent",
    "SimpleRNNCell": "recurrent",
    "MultiheadAttention": "attention",
    **{f"BatchNorm{d}": "batch norm" for d in ("", "1d", "2d", "3d", "1D", "2D", "3D")},
    "SyncBatchNorm": "batch norm",
    **{f"InstanceNorm{d}": "instance norm" for d in ("1d", "2d", "3d", "1D", "2D", "3D")},
    **{f"Conv{d}": "convolution" for d in ("1d", "2d", "3d", "1D", "2D", "3D")},
    **{f"ConvTranspose{d}": "transposed convolution" for d in ("1d", "2d", "3d")},
    **{f"Conv{d}Transpose": "transposed convolution" for d in ("1D", "2D", "3D")},
}
"""What a framework's own class is, by its name; both frameworks' names side by side."""

ROLES = {
    "running_mean": "mean",
    "_mean": "mean",
    "running_var": "variance",
    "_variance": "variance",
    "_weight": "weight",
}
COUNTER = "num_batches_tracked"
COUNTER_REASON = "Paddle's batch norm keeps no counter of batches"
RENAMED_CHILDREN = {("TransformerDecoderLayer", "multihead_attn"): "cross_attn"}
FUSED_NAMES = frozenset({"qkv", "qkvproj", "inproj", "toqkv", "wqkv", "cattn"})
FUSED_PARTS = ("q", "k", "v")
ATTENTION_PARTS = ("q_proj", "k_proj", "v_proj")

_RECURRENT = re.compile(
    r"(?:(\d+)\.)?(?:cell(_fw|_bw)?\.)?(weight|bias)_(ih|hh|hr|ho)(?:_l(\d+))?(_reverse)?"
)


@dataclass(frozen=True)
class Place:
    """Where a piece lies: part ``part`` of ``parts`` equal blocks of rows of a tensor.

    ``shape`` is the whole tensor's, as stored; ``layout`` says how it relates to the common layout.
    """

    tensor: str
    shape: tuple[int, ...]
    layout: Layout = "same"
    part: int = 0
    parts: int = 1


@dataclass(frozen=True)
class Piece:
    """One tensor in the common layout: its role in its layer, its shape there, and its place in the file."""

    role: str
    shape: tuple[int, ...]
    place: Place


@dataclass(eq=False)
class Node:
    """A layer: its own pieces and its sublayers, in order. ``family`` is None for a class not known here."""

    path: str
    family: str | None
    class_name: str
    pieces: list[Piece] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    def all_pieces(self) -> Iterator[Piece]:
        yield from self.pieces
        for child in self.children:
            yield from child.all_pieces()

    def signature(self) -> list[tuple[int, ...]]:
        """The pieces' sizes regardless of order, role and layout: equal for subtrees that may correspond."""
        return sorted(tuple(sorted(squeezed(piece.shape))) for piece in self.all_pieces())


@dataclass
class Tree:
    """A model: its layers; tied names with the name they repeat; tensors with no counterpart, and why.

    ``names`` are the keys of its ``state_dict`` with their shapes. ``ordered`` is False where the order means
    nothing (a file sorted by name), ``executed`` is True where it is that of a forward pass. ``typed`` is
    False for a bare state dict, which knows no classes.
    """

    root: Node
    names: dict[str, tuple[int, ...]]
    aliases: dict[str, str]
    dropped: dict[str, str]
    ordered: bool = True
    typed: bool = True
    executed: bool = False


def squeezed(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape without its axes of size 1."""
    return tuple(size for size in shape if size != 1)


def squashed(name: str) -> str:
    """A name without case and separators: ``Layer_1.conv`` and ``layer1conv`` are one."""
    return re.sub(r"[^0-9a-z]", "", name.lower())


def tree_of_model(model: Any, tied_apart: bool = False, call_order: Sequence[str] | None = None) -> Tree:
    """The tree of a live ``paddle.nn.Layer`` or ``torch.nn.Module``.

    ``tied_apart`` gives every name of a tied tensor its own piece; otherwise only the first. ``call_order``
    (paths of modules as they were first called) replaces the order of definition.

    Raises InputError for anything else than a model.
    """
    if not hasattr(model, "_modules") and not hasattr(model, "_sub_layers"):
        raise InputError(
            f"A {type(model).__name__} has no weights: give a paddle.nn.Layer or a torch.nn.Module."
        )
    while type(model).__name__ in ("DataParallel", "DistributedDataParallel"):
        model = model._layers if hasattr(model, "_layers") else model.module
    builder = _Builder(model, tied_apart)
    root = builder.node(model, "")
    if call_order is not None:
        position = {path: index for index, path in reversed(list(enumerate(call_order)))}
        _sort_by_call(root, position)
    executed = call_order is not None
    return Tree(root, builder.names, builder.aliases, builder.dropped, executed=executed)


def _sort_by_call(node: Node, position: Mapping[str, int]) -> float:
    """Sort the children by their first call; returns this node's own."""
    keys = {id(child): _sort_by_call(child, position) for child in node.children}
    node.children.sort(key=lambda child: keys[id(child)])
    return min([position.get(node.path, math.inf), *keys.values()])


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


@dataclass
class _Builder:
    model: Any
    tied_apart: bool
    names: dict[str, tuple[int, ...]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    first: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        state = (
            self.model.state_dict(keep_vars=True) if self.is_torch(self.model) else self.model.state_dict()
        )
        for name, tensor in state.items():
            self.names[name] = tuple(tensor.shape)
            first = self.first.setdefault(id(tensor), name)
            if first != name:
                self.aliases[name] = first

    @staticmethod
    def is_torch(module: Any) -> bool:
        return hasattr(module, "_modules")

    def tensors(self, module: Any, path: str) -> list[tuple[str, Any]]:
        """The module's own tensors that its state_dict holds: name within the module, tensor."""
        own = [*module._parameters.items(), *module._buffers.items()]
        return [(name, t) for name, t in own if t is not None and _join(path, name) in self.names]

    def children(self, module: Any) -> list[tuple[str, Any]]:
        children = module._modules if self.is_torch(module) else module._sub_layers
        return [(name, child) for name, child in children.items() if child is not None]

    def node(self, module: Any, path: str) -> Node:
        family, own_class = known_family(type(module))
        node = Node(path, family, type(module).__name__)
        if family == "recurrent" and self.holds_only_cells(path):
            self.recurrent(module, path, node)
            return node
        for name, tensor in self.tensors(module, path):
            self.add(node, own_class, name, tensor)
        for name, child in self.children(module):
            made = self.node(child, _join(path, name))
            if made.pieces or made.children:
                renamed = RENAMED_CHILDREN.get((type(module).__name__, name))
                made.path = _join(path, renamed) if renamed else made.path
                node.children.append(made)
        return node

    def piece(
        self, role: str, full_name: str, tensor: Any, layout: Layout = "same", family: str | None = None
    ) -> Piece | None:
        if full_name in self.aliases and not self.tied_apart:
            return None
        shape = tuple(tensor.shape)
        common = shape[::-1] if layout == "transposed" else shape
        if family == "layer norm":
            common = (math.prod(shape),)
        return Piece(role, common, Place(full_name, shape, layout))

    def add(self, node: Node, own_class: type | None, name: str, tensor: Any) -> None:
        full_name = _join(node.path, name)
        if name == COUNTER:
            self.dropped[full_name] = COUNTER_REASON
            return
        if node.family == "attention" and own_class is not None:
            self.attention(node, name, full_name, tensor)
            return
        role = ROLES.get(name, "weight" if node.family == "instance norm" and name == "scale" else name)
        piece = self.piece(role, full_name, tensor, _layout(node.family, own_class, tensor), node.family)
        if piece is None:
            return
        if node.family == "linear" and squashed(node.name) in FUSED_NAMES and piece.shape[0] % 3 == 0:
            for child in _fused_children(node, FUSED_PARTS):
                child.pieces.append(_third(piece, FUSED_PARTS.index(child.name)))
        else:
            node.pieces.append(piece)

    def attention(self, node: Node, name: str, full_name: str, tensor: Any) -> None:
        """torch's fused attention, and Paddle's copy of it, as the four linear layers it is made of."""
        piece = self.piece(name.rpartition("_")[2], full_name, tensor)
        if piece is None:
            return
        if name in ("in_proj_weight", "in_proj_bias"):
            for child in _fused_children(node, ATTENTION_PARTS):
                child.pieces.append(_third(piece, ATTENTION_PARTS.index(child.name)))
        elif name.removesuffix("_weight") in ATTENTION_PARTS:
            children = {child.name: child for child in _fused_children(node, ATTENTION_PARTS)}
            children[name.removesuffix("_weight")].pieces.append(piece)
        else:
            node.pieces.append(Piece(name, piece.shape, piece.place))

    def holds_only_cells(self, path: str) -> bool:
        prefix = f"{path}." if path else ""
        below = [name.removeprefix(prefix) for name in self.names if name.startswith(prefix)]
        return all(_RECURRENT.fullmatch(name) for name in below)

    def recurrent(self, module: Any, path: str, node: Node) -> None:
        """One piece per layer, direction and role. The cell's name of a tensor counts.

        Paddle's LSTM repeats its cells' tensors under names of its own, which are wrong for projected layers.
        """
        for tensor, name in self.in_cells(module, path, {}).values():
            first = self.first[id(tensor)]
            outside = bool(path) and not first.startswith(f"{path}.")
            layout: Layout = "transposed" if name.endswith("weight_ho") else "same"
            relative = name.removeprefix(f"{path}.") if path else name
            piece = self.piece(_recurrent_role(relative), name if outside else first, tensor, layout)
            if piece is not None:
                node.pieces.append(piece)

    def in_cells(
        self, module: Any, path: str, found: dict[int, tuple[Any, str]]
    ) -> dict[int, tuple[Any, str]]:
        """Every tensor below a recurrent layer with its innermost name."""
        found |= {id(tensor): (tensor, _join(path, name)) for name, tensor in self.tensors(module, path)}
        for name, child in self.children(module):
            self.in_cells(child, _join(path, name), found)
        return found


def _recurrent_role(name: str) -> str:
    """The role of a tensor of a recurrent layer or cell in torch's words: ``weight_ih_l0_reverse``."""
    match = _RECURRENT.fullmatch(name)
    if match is None:
        return name
    outer, direction, kind, gate, layer, reverse = match.groups()
    suffix = "_reverse" if reverse or direction == "_bw" else ""
    return f"{kind}_{'hr' if gate == 'ho' else gate}_l{layer or outer or 0}{suffix}"


def _fused_children(node: Node, names: Sequence[str]) -> list[Node]:
    """The layers that a fused one consists of, in the order of its rows; made when first asked for."""
    have = {child.name: child for child in node.children}
    made = [have.get(name) or Node(_join(node.path, name), "linear", "Linear") for name in names]
    node.children[:] = [*made, *(child for child in node.children if child not in made)]
    return made


def _third(piece: Piece, index: int) -> Piece:
    place = Place(piece.place.tensor, piece.place.shape, piece.place.layout, index, 3)
    return Piece(piece.role, (piece.shape[0] // 3, *piece.shape[1:]), place)


def known_family(cls: type) -> tuple[str | None, type | None]:
    """The family of a layer's class and the framework's class that says so; (None, None) when unknown."""
    for base in cls.__mro__:
        root = base.__module__.split(".")[0]
        if root in ("torch", "paddle") and base.__name__ in FAMILIES:
            return FAMILIES[base.__name__], base
    return None, None


def _layout(family: str | None, own_class: type | None, tensor: Any) -> Layout:
    """Only Paddle's own Linear stores its weight, and what weight norm makes of it, as [in, out]."""
    transposed = (
        family == "linear"
        and own_class is not None
        and own_class.__module__.startswith("paddle.nn.")
        and len(tensor.shape) == 2
    )
    return "transposed" if transposed else "same"


def tree_of_tensors(
    tensors: Mapping[str, np.ndarray], tied_apart: bool = False, ordered: bool = True
) -> Tree:
    """The tree of a bare torch state dict, from its names alone: its tensors are taken to be torch's.

    ``ordered`` tells whether the mapping's order is the model's.
    """
    root = Node("", None, "state dict")
    nodes = {"": root}
    if not ordered:
        tensors = dict(sorted(tensors.items(), key=lambda item: _natural(item[0])))
    tree = Tree(root, {n: t.shape for n, t in tensors.items()}, {}, {}, ordered, typed=False)
    first: dict[tuple, str] = {}
    for name, array in tensors.items():
        path, _, role = name.rpartition(".")
        memory = (array.__array_interface__["data"][0], array.shape, array.strides, array.dtype.str)
        original = first.setdefault(memory, name) if array.size else name
        if original != name:
            tree.aliases[name] = original
            if not tied_apart:
                continue
        if role == COUNTER:
            tree.dropped[name] = COUNTER_REASON
            continue
        _add_named(_node_at(nodes, path), name, role, array)
    return tree


def _natural(name: str) -> list[tuple[int, str]]:
    """A sort key by which ``layers.2`` comes before ``layers.10``."""
    return [(int(part) if part.isdigit() else -1, part) for part in name.split(".")]


def _add_named(node: Node, name: str, role: str, array: np.ndarray) -> None:
    piece = Piece(ROLES.get(role, role), array.shape, Place(name, array.shape))
    fused_names = {"in_proj_weight": "weight", "in_proj_bias": "bias"}
    if role in fused_names and array.shape[0] % 3 == 0:
        piece = Piece(fused_names[role], array.shape, piece.place)
        for child in _fused_children(node, ATTENTION_PARTS):
            child.pieces.append(_third(piece, ATTENTION_PARTS.index(child.name)))
    elif squashed(node.name) in FUSED_NAMES and role in ("weight", "bias") and array.shape[0] % 3 == 0:
        for child in _fused_children(node, FUSED_PARTS):
            child.pieces.append(_third(piece, FUSED_PARTS.index(child.name)))
    elif _RECURRENT.fullmatch(role):
        node.pieces.append(Piece(_recurrent_role(role), array.shape, piece.place))
    elif role.removesuffix("_weight") in ATTENTION_PARTS:
        part = ATTENTION_PARTS.index(role.removesuffix("_weight"))
        _fused_children(node, ATTENTION_PARTS)[part].pieces.append(Piece("weight", array.shape, piece.place))
    else:
        node.pieces.append(piece)


def _node_at(nodes: dict[str, Node], path: str) -> Node:
    if path not in nodes:
        parent = _node_at(nodes, path.rpartition(".")[0])
        nodes[path] = Node(path, None, "")
        parent.children.append(nodes[path])
    return nodes[path]
