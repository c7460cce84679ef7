"""Why a verification ended as it did: one code for programs, one sentence for people."""

from __future__ import annotations

from enum import StrEnum

from fuxian.sandbox import Outcome
from fuxian.verify.advice import advice


class Reason(StrEnum):
    """The reason code of a verification, or of one of its steps."""

    OK = "OK"
    MALFORMED = "MALFORMED"
    """Its files cannot be read for what they should be."""
    CLAIM = "CLAIM"
    """It claims something else than the terms ask for."""
    NO_WEIGHTS = "NO_WEIGHTS"
    """It names no weights, or holds none where it says."""
    NOT_SHOWN = "NOT_SHOWN"
    """A step that the terms want passed does not apply to it: what it is for was not shown."""
    RUNG = "RUNG"
    """No figure can be had in any of the ways that the terms allow."""
    WARM_START = "WARM_START"
    """The training starts from weights that the terms do not allow."""
    LAYOUT = "LAYOUT"
    """The acceptance checklist fails."""
    UNSAFE = "UNSAFE"
    """Files that could harm who receives them: pickles, links that lead out, repositories within, odd names."""
    CONVERTED_WEIGHTS = "CONVERTED_WEIGHTS"
    """The weights are the reference's own, not trained."""
    ENV = "ENV"
    """The requirements cannot be installed from wheels."""
    TIMEOUT = "TIMEOUT"
    OOM = "OOM"
    PIDS = "PIDS"
    DISK = "DISK"
    OUTPUT = "OUTPUT"
    """Printed or wrote more than allowed."""
    NETWORK = "NETWORK"
    CRASH = "CRASH"
    METRIC_MISSING = "METRIC_MISSING"
    """The evaluation gave no figure that can be read."""
    METRIC_INVALID = "METRIC_INVALID"
    """The figures cannot be this metric's: not finite, out of its range, or in disagreement with each other."""
    METRIC_SHORT = "METRIC_SHORT"
    """The figure misses the target by more than the margin."""
    METRIC_FIXED = "METRIC_FIXED"
    """The figure does not come from the weights: worthless ones give it too."""
    UNDECIDED = "UNDECIDED"
    """The figure is too close to the margin for the number of examples or seeds."""
    REPLAY_MISMATCH = "REPLAY_MISMATCH"
    """The first steps of the training do not give the logged losses."""
    REPLAY_UNSTABLE = "REPLAY_UNSTABLE"
    """Two runs from the same seed differ so much that no log could be confirmed."""
    CHAIN_MISMATCH = "CHAIN_MISMATCH"
    """The exported network's outputs are not those of predict."""
    CANCELLED = "CANCELLED"
    INTERNAL = "INTERNAL"
    """The platform failed, not the submission."""


OF_SANDBOX: dict[str, Reason] = {
    "ok": Reason.OK,
    "crash": Reason.CRASH,
    "timeout": Reason.TIMEOUT,
    "oom": Reason.OOM,
    "pids": Reason.PIDS,
    "disk": Reason.DISK,
    "output": Reason.OUTPUT,
    "network": Reason.NETWORK,
    "cancelled": Reason.CANCELLED,
}
OF_FINDING: dict[str, Reason] = {
    "pickles": Reason.UNSAFE,
    "links": Reason.UNSAFE,
    "git": Reason.UNSAFE,
    "names": Reason.UNSAFE,
    "weights-origin": Reason.CONVERTED_WEIGHTS,
    "requirements": Reason.ENV,
}
"""Lines of the checklist with a reason of their own; any other is LAYOUT."""


LONGEST = 2000
"""Characters of a sentence."""


class Failed(Exception):
    """The submission fails here, and nothing after this step is run."""

    def __init__(self, reason: Reason, sentence: str) -> None:
        # It may quote what the entrant wrote: nothing of that moves a terminal's cursor.
        plain = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in sentence[:LONGEST])
        super().__init__(plain)
        self.reason = reason
        self.sentence = plain


def require_ok(name: str, outcome: Outcome) -> None:
    """Raises Failed where the command did not end well."""
    if outcome.reason != "ok":
        raise Failed(OF_SANDBOX[outcome.reason], f"{name}: {outcome.detail}{advice(outcome)}")
