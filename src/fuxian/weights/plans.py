"""The plan of a conversion, as data: JSON in, JSON out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from fuxian.errors import InputError
from fuxian.weights.layout import Place
from fuxian.weights.matching import How

PLAN_VERSION = 1


@dataclass(frozen=True)
class Link:
    """Two places that hold the same numbers; ``how`` they were matched, and a note where that needs one."""

    port: Place
    reference: Place
    how: How
    note: str = ""

    @property
    def transform(self) -> str:
        """What happens to the reference's tensor on its way to the port, in words."""
        words = []
        if self.port.layout != self.reference.layout:
            words.append("transpose")
        if self.reference.parts > 1:
            words.append(f"rows {self.reference.part + 1}/{self.reference.parts}")
        if self.port.parts > 1:
            words.append(f"into rows {self.port.part + 1}/{self.port.parts}")
        if not words and self.port.shape != self.reference.shape:
            words.append("reshape")
        return ", ".join(words) or "identity"


@dataclass
class Plan:
    """Where every tensor goes.

    ``port_aliases`` and ``reference_aliases``: tied names and the name they repeat. ``port_kept``: tensors
    that the port keeps as it initialised them, and why; ``reference_dropped``: tensors with no place in the
    port, and why.
    """

    links: list[Link]
    port_aliases: dict[str, str] = field(default_factory=dict)
    reference_aliases: dict[str, str] = field(default_factory=dict)
    port_kept: dict[str, str] = field(default_factory=dict)
    reference_dropped: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps({"version": PLAN_VERSION, **asdict(self)}, indent=1)

    @staticmethod
    def from_json(text: str) -> Plan:
        """Raises InputError when the text is no saved plan."""
        try:
            data = json.loads(text)
            links = [
                Link(_place(link["port"]), _place(link["reference"]), link["how"], link["note"])
                for link in data["links"]
            ]
            parts = {
                name: {str(k): str(v) for k, v in data[name].items()}
                for name in ("port_aliases", "reference_aliases", "port_kept", "reference_dropped")
            }
            return Plan(links, **parts)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"The plan cannot be read ({type(error).__name__}); make it again.") from error


def _place(data: Mapping[str, Any]) -> Place:
    if data["layout"] not in ("same", "transposed") or not 0 <= data["part"] < data["parts"]:
        raise ValueError("no such layout or part")
    return Place(
        str(data["tensor"]), tuple(map(int, data["shape"])), data["layout"], data["part"], data["parts"]
    )
