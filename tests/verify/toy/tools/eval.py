# Licensed under the Apache License, Version 2.0
import json

import numpy as np
from blobs import draw, logits, options

given = options()
x, y = draw(2, 2000)
right = (logits(np.load(given.weights), x).argmax(1) == y).astype(float)
run = {"seed": 3, "value": right.mean(), "examples": right.tolist()}
(given.out / "measurements.json").write_text(json.dumps({"runs": [run]}))
print(f"accuracy: {right.mean():.4f}")
