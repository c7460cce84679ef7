# Licensed under the Apache License, Version 2.0
import json
import time

import numpy as np
from blobs import draw, logits, options

given = options()
weights = {"w": np.random.default_rng(given.seed).normal(size=(2, 3)), "b": np.zeros(3)}
with (given.out / "log.jsonl").open("w") as log:
    for step in range(1, given.steps + 1):
        began = time.perf_counter()
        x, y = draw(1000 * given.seed + step, 64)
        read = time.perf_counter() - began
        z = logits(weights, x)
        p = np.exp(z - z.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        loss = -np.log(p[np.arange(64), y]).mean()
        p[np.arange(64), y] -= 1
        weights["w"] -= 0.5 * x.T @ p / 64
        weights["b"] -= 0.5 * p.mean(0)
        cost = time.perf_counter() - began
        row = {"step": step, "loss": loss, "reader_cost": read, "batch_cost": cost, "ips": 64 / cost}
        log.write(json.dumps(row) + "\n")
    x, y = draw(1, 500)
    log.write(
        json.dumps(
            {"step": given.steps, "eval": {"accuracy": float((logits(weights, x).argmax(1) == y).mean())}}
        )
    )
    log.write("\n")
np.savez(given.out / "model.npz", **weights)
