# Licensed under the Apache License, Version 2.0
"""Three blobs in the plane, a linear classifier, and the options of all programs."""

import argparse
import pathlib

import numpy as np

CENTRES = np.array([[2.0, 0.0], [-1.0, 1.7], [-1.0, -1.7]])


def draw(seed, count):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, count)
    return CENTRES[labels] + random.normal(size=(count, 2)), labels


def logits(weights, x):
    return x @ weights["w"] + weights["b"]


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--weights")
    parser.add_argument("--exported")
    parser.add_argument("--inputs")
    parser.add_argument("--out", type=pathlib.Path)
    return parser.parse_args()
