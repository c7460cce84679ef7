# Licensed under the Apache License, Version 2.0
import numpy as np
from blobs import draw, logits, options

given = options()
np.savez(given.out / "predictions.npz", logits=logits(np.load(given.weights), draw(2, 2000)[0]))
