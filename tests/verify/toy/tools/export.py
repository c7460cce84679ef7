# Licensed under the Apache License, Version 2.0
import json

import numpy as np
from blobs import options

given = options()
network = {name: array.tolist() for name, array in np.load(given.weights).items()}
(given.out / "network.json").write_text(json.dumps(network))
