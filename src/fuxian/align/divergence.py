"""A first divergence: where a port first differs from its reference, and what was recorded there.

This is all that a diagnosis gets to see. ``fuxian.align.diagnose.diagnose(divergence)`` returns a ``Diagnosis``;
its cause is one of ``fuxian.align.causes.CAUSES``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fuxian.align.recording import Recording
from fuxian.align.tracing import Call


@dataclass(frozen=True)
class Scene:
    """One side of the divergence: what ran there, with what.

    - ``framework``: ``paddle`` or ``torch`` (or what another writer says).
    - ``path``: the module's path, ``""`` for the model itself; ``module``: its class; ``attributes``: its settings
      by the framework's own names (``epsilon``, ``_epsilon``, ``eps``, ``stride``, ...).
    - ``calls``: the calls from the last agreeing tensors to the first that does not agree, in execution order;
      usually one. Each has ``name``, ``operation`` (the same word for both frameworks), ``arguments`` by parameter
      name (a tensor is ``{"tensor": id}``), ``inputs``, ``outputs`` (ids) and ``line``. Empty where this side calls
      nothing here.
    - ``tensors``: id -> elements, for inputs, outputs and parameters of ``calls`` (ids of parameters are
      ``parameters.<name>``). An id whose elements were not kept (a sketched recording) is missing.
    - ``gradients``: id -> gradient, likewise, in the backward stage.
    - ``line``: ``file:line`` of the user's code that made the first call.
    """

    framework: str
    path: str
    module: str
    attributes: dict[str, Any]
    calls: list[Call]
    tensors: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]
    line: str

    @property
    def call(self) -> Call | None:
        """The first call, whose inputs agree and whose output does not."""
        return self.calls[0] if self.calls else None

    def inputs(self) -> list[np.ndarray]:
        """Elements of the first call's inputs that were kept, parameters aside, in order."""
        return [] if self.call is None else [
            self.tensors[i] for i in self.call.inputs if i in self.tensors and not i.startswith("parameters.")
        ]  # fmt: skip

    def parameters(self) -> dict[str, np.ndarray]:
        """Elements of the parameters that the calls here use, by name."""
        return {
            i.removeprefix("parameters."): a for i, a in self.tensors.items() if i.startswith("parameters.")
        }

    def outputs(self) -> list[np.ndarray]:
        """Elements of the last call's outputs that were kept, in order."""
        return (
            [] if not self.calls else [self.tensors[i] for i in self.calls[-1].outputs if i in self.tensors]
        )


@dataclass(frozen=True)
class Divergence:
    """Where a stage first diverges.

    - ``stage``: a name of ``fuxian.align.stages.STAGES``.
    - ``place``: the port's module or parameter path. A functional call belongs to the module whose forward makes
      it (``""`` is the model itself), and is named by ``port.call``. In the loss, the part's name or ``loss``; in
      data, the leaf (``inputs.0``); in the metric, the figure; ``optimizer`` where every parameter is concerned.
    - ``reference_place``: the same on the reference's side, ``""`` where it has none.
    - ``kind``: ``call`` (forward, loss, backward, training mode: the scenes are filled), ``parameter`` (a
      parameter, its gradient, update or distribution), ``figure`` (a metric's figure), ``leaf`` (a leaf of a
      batch), ``group`` (a parameter group's rate), ``setting`` (a flag or part setting), ``error``.
    - ``error``: largest error relative to the largest element, and ``tolerance`` allowed there.
    - ``port``, ``reference``: the scenes, None unless ``kind`` is ``call``.
    - ``facts``: what else is known, by stage. ``step`` (int, the first step that differs); ``names`` (all differing
      parameters, port's names) and ``names_agreeing``; ``port_settings`` and ``reference_settings`` (optimizer or
      module settings); ``port_series`` and ``reference_series`` (learning rates); ``message`` (of an exception).
    - ``recordings``: the whole recordings, port's first, for anything else.
    - ``to_port(name)``: the reference's initial value of the port's parameter ``name``, in the port's layout.
    """

    stage: str
    place: str
    reference_place: str
    kind: str
    error: float
    tolerance: float
    port: Scene | None = None
    reference: Scene | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    recordings: tuple[Recording, Recording] | None = None
    to_port: Callable[[str], np.ndarray | None] | None = None


@dataclass(frozen=True)
class Diagnosis:
    """``cause`` (a name of CAUSES), the ``evidence`` in one sentence, ``line`` of the port to change (or ``""``),
    and ``script``: where no hypothesis fits, the smallest reproducer as a runnable Python text.

    ``proven``: the change was computed and gives the reference's figures, or what differs is itself the cause (a
    parameter that one side lacks, a setting of the recipe). Otherwise the cause is surmised, from what the two sides
    call and state. ``place`` is given where the cause lies elsewhere than the divergence was found."""

    cause: str
    evidence: str
    line: str = ""
    script: str = ""
    proven: bool = False
    place: str | None = None

    @property
    def certainty(self) -> str:
        """``proven``, ``surmised`` or ``unknown``."""
        return "unknown" if self.cause == "unknown" else "proven" if self.proven else "surmised"
