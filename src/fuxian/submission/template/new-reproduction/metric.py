"""The figure that the paper reports, in numpy: read by the port and by the reference."""

from __future__ import annotations

import numpy as np


class Accuracy:
    """The share of examples whose largest output is their class."""

    def __init__(self) -> None:
        self.right: list[np.ndarray] = []

    def update(self, outputs: np.ndarray, targets: tuple[np.ndarray]) -> None:
        """``outputs`` [batch, classes], ``targets`` ([batch],)."""
        self.right.append(outputs.argmax(-1) == targets[0])

    def examples(self) -> dict[str, list[float]]:
        return {"accuracy": np.concatenate(self.right).astype(float).tolist()}

    def compute(self) -> dict[str, float]:
        return {name: float(np.mean(values)) for name, values in self.examples().items()}
