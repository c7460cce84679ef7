"""Mapping files: pairs of tensors named by hand, which go before everything else.

TOML or JSON::

    [tensors]
    "head.weight" = "fc.weight"                                        # layouts by the layers' classes
    "proj" = { from = "proj.weight", transform = "transpose" }         # or "identity"
    "attn.q.weight" = { from = "attn.qkv.weight", rows = "1/3" }       # the first third of the rows
    "attn.qkv.weight" = { from = ["q.weight", "k.weight", "v.weight"] }  # one after the other

    [ignore]
    port = ["mask"]            # stays as the port initialises it
    reference = ["position"]   # has no place in the port
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fuxian.errors import InputError
from fuxian.weights.layout import Node, Place, Tree, squeezed
from fuxian.weights.plans import Link

IGNORED = "ignored by the mapping file"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Source(_Strict):
    sources: str | list[str] = Field(alias="from", min_length=1)
    transform: Literal["transpose", "identity"] | None = None
    rows: str | None = Field(None, pattern=r"^[1-9]\d*/[1-9]\d*$")


class _Ignore(_Strict):
    port: list[str] = []
    reference: list[str] = []


class _MappingFile(_Strict):
    tensors: dict[str, str | _Source] = {}
    ignore: _Ignore = _Ignore()


@dataclass(frozen=True)
class Overrides:
    """What a mapping file says: the port's tensors and their sources, names to leave out, and why."""

    tensors: Mapping[str, _Source] = field(default_factory=dict)
    port_ignored: Mapping[str, str] = field(default_factory=dict)
    reference_ignored: Mapping[str, str] = field(default_factory=dict)

    def links(self, port: Tree, reference: Tree) -> list[Link]:
        """The links that the file names; takes their tensors, and the ignored ones, out of the trees.

        Raises InputError for names that do not exist and shapes that do not fit.
        """
        made: list[Link] = []
        for name, source in self.tensors.items():
            target = _place(port, name, "port")
            sources = [source.sources] if isinstance(source.sources, str) else source.sources
            places = [_place(reference, other, "reference") for other in sources]
            if source.transform:
                layout: Literal["same", "transposed"] = (
                    "transposed" if source.transform == "transpose" else "same"
                )
                target = replace(target, layout=layout)
                places = [replace(place, layout="same") for place in places]
            if source.rows:
                part, parts = map(int, source.rows.split("/"))
                if part > parts:
                    raise InputError(f"{name}: rows {source.rows} do not exist; count from 1/{parts}.")
                places = [replace(place, part=part - 1, parts=parts) for place in places]
            targets = [replace(target, part=i, parts=len(places)) for i in range(len(places))]
            for one, other in zip(targets, places, strict=True):
                if _rows_shape(one) != _rows_shape(other):
                    raise InputError(
                        f"{name}: {other.tensor} gives shape {_rows_shape(other)} where {_rows_shape(one)} is"
                        " needed; correct the mapping file."
                    )
                made.append(Link(one, other, "map"))
        for ignored, tree, side in (
            (self.port_ignored, port, "port"),
            (self.reference_ignored, reference, "reference"),
        ):
            for name in ignored:
                _place(tree, name, side)
        _remove(port.root, {*self.tensors, *self.port_ignored})
        _remove(reference.root, {*(link.reference.tensor for link in made), *self.reference_ignored})
        return made


def load_overrides(path: str | Path) -> Overrides:
    """The mapping file, TOML or JSON by its ending. Raises InputError that names the entry that is wrong."""
    path = Path(path)
    if path.suffix not in (".toml", ".json"):
        raise InputError(f"{path}: a mapping file ends in .toml or .json; rename it.")
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
        file = _MappingFile.model_validate(data)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path.") from error
    except ValidationError as error:
        first = max(error.errors(), key=lambda entry: len(entry["loc"]))
        where = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{path}: {where}: {first['msg']}; see the mapping file's form in docs/weights.md."
        ) from error
    except ValueError as error:
        raise InputError(f"{path}: cannot be parsed ({error}); correct it.") from error
    tensors = {
        name: _Source.model_validate({"from": source}) if isinstance(source, str) else source
        for name, source in file.tensors.items()
    }
    return Overrides(
        tensors,
        dict.fromkeys(file.ignore.port, IGNORED),
        dict.fromkeys(file.ignore.reference, IGNORED),
    )


def _place(tree: Tree, name: str, side: str) -> Place:
    """The whole tensor of that name."""
    if name not in tree.names:
        raise InputError(f"{name}: the {side} has no such tensor; correct the mapping file.")
    first = tree.aliases.get(name, name)
    for piece in tree.root.all_pieces():
        if piece.place.tensor in (name, first):
            return replace(piece.place, tensor=name, part=0, parts=1)
    return Place(name, tree.names[name])


def _rows_shape(place: Place) -> tuple[int, ...]:
    shape = place.shape[::-1] if place.layout == "transposed" else place.shape
    if place.parts == 1:
        return squeezed(shape)
    if not shape or shape[0] % place.parts:
        raise InputError(
            f"{place.tensor}: {place.shape} has no {place.parts} equal blocks of rows;"
            " correct the mapping file."
        )
    return squeezed((shape[0] // place.parts, *shape[1:]))


def _remove(node: Node, names: set[str]) -> None:
    node.pieces = [piece for piece in node.pieces if piece.place.tensor not in names]
    for child in node.children:
        _remove(child, names)
    node.children = [child for child in node.children if child.pieces or child.children]
