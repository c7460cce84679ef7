"""Each experiment's numbers: official main.py's usage lines, and the paper's sections 5.1 and A.1."""

from __future__ import annotations

from dataclasses import dataclass, replace

META_LEARNING_RATE = 1e-3
TEST_STEPS = 10
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
    test_tasks: int = 600
    test_tasks_at_once: int = 25

    @property
    def test_batches(self) -> int:
        return self.test_tasks // self.test_tasks_at_once


SETTINGS = {
    "sinusoid-10shot": Setting(tasks=25, shots=10, step_size=0.01),
    "omniglot-5way-1shot": Setting(tasks=32, ways=5, shots=1, step_size=0.4),
    "omniglot-5way-5shot": Setting(tasks=32, ways=5, shots=5, step_size=0.4),
}


def for_alignment(claim: str) -> Setting:
    """The claim's setting with two tasks a batch: each task's computation is the same, and a recording stays small."""
    return replace(SETTINGS[claim], tasks=2, test_tasks=4, test_tasks_at_once=2)
