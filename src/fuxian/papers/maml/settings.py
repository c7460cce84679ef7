"""Each experiment's numbers: official main.py's usage lines, and the paper's sections 5.1 and A.1."""

from __future__ import annotations

from dataclasses import dataclass, replace

META_LEARNING_RATE = 1e-3
TEST_SEED = 1_000_000
"""Test tasks are drawn from a stream of their own, the same for every run."""


@dataclass(frozen=True)
class Setting:
    """``tasks`` a meta-batch, K ``shots``, the inner ``step_size`` (alpha) and inner steps in training."""

    tasks: int
    shots: int
    step_size: float
    train_steps: int = 1
    ways: int = 0
    """0 marks the sinusoid."""
    test_steps: int = 10
    test_tasks: int = 600
    test_tasks_at_once: int = 25

    generated: bool = False
    """Pictures of noise in place of Omniglot's."""

    @property
    def test_batches(self) -> int:
        return self.test_tasks // self.test_tasks_at_once


SETTINGS = {
    "sinusoid-10shot": Setting(tasks=25, shots=10, step_size=0.01),
    "omniglot-5way-1shot": Setting(tasks=32, ways=5, shots=1, step_size=0.4),
    "omniglot-5way-5shot": Setting(tasks=32, ways=5, shots=5, step_size=0.4),
}


def for_alignment(claim: str) -> Setting:
    """The claim's setting, small enough for a recording that can be committed.

    Two tasks a batch (one in tests) and two test steps: each task and step is the same computation. Generated
    pictures: Omniglot's are not ours to publish.
    """
    return replace(SETTINGS[claim], tasks=2, test_steps=2, test_tasks=2, test_tasks_at_once=1, generated=True)
