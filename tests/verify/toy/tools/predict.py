# Licensed under the Apache License, Version 2.0
import pathlib

import numpy as np
from blobs import draw, logits, options

given = options()
weights = np.load(given.weights)
if given.inputs:
    batches = {
        file.stem: np.load(file)["inputs.0"] for file in sorted(pathlib.Path(given.inputs).glob("*.npz"))
    }
else:
    batches = {"0000": draw(2, 2000)[0]}
np.savez(given.out / "predictions.npz", **{f"{name}.0": logits(weights, x) for name, x in batches.items()})
