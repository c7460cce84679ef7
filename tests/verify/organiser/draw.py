"""New blobs for each ruling."""

import numpy as np

CENTRES = np.array([[2.0, 0.0], [-1.0, 1.7], [-1.0, -1.7]])


def draw(claim, seed):
    random = np.random.default_rng(seed)
    for number in range(4):
        labels = random.integers(0, 3, 500)
        x = CENTRES[labels] + random.normal(size=(500, 2))
        ids = [f"{number}-{index}" for index in range(500)]
        yield {"inputs": (x,), "targets": (labels,), "ids": ids}
