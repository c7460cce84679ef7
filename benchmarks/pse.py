"""Progressive scale expansion against the official Cython code: python benchmarks/pse.py [--official DIR] [--json].

500 generated score maps of 7 x 736 x 1312 (papers/psenet/reference/score_maps.py). The labels of each are compared with
those recorded from the official code. With --official, the folder in which its ``pse.pyx`` was built (see
papers/psenet/reference/record_expansion.py), both are run on each map in turn, their labels compared bit for bit and
timed; the ratio is the median over the maps of official / ours. Then one map of 4096 x 4096 with more than a million
instances: time, and the most memory that the process ever held.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

from fuxian.papers.psenet.pse import pse
from fuxian.papers.psenet.reference import score_maps
from fuxian.papers.psenet.reference.record_expansion import RECORD, official_pse


def timed(function, *arguments):
    began = time.perf_counter()
    labels = function(*arguments)
    return labels, 1000 * (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--official", type=Path, help="folder with the built official pse extension")
    parser.add_argument("--count", type=int, default=score_maps.COUNT)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    recorded = json.loads(RECORD.read_text())["kernels_and_labels"]
    official = official_pse(options.official).pse if options.official else None
    pse(score_maps.kernels(0), score_maps.MIN_AREA)
    ours_ms, official_ms = [], []
    equal = 0
    for index in range(options.count):
        kernels = score_maps.kernels(index)
        labels, spent = timed(pse, kernels, score_maps.MIN_AREA)
        same = recorded[index] == [score_maps.digest(kernels), score_maps.digest(labels)]
        ours_ms.append(spent)
        if official:
            theirs, spent = timed(official, kernels, score_maps.MIN_AREA)
            official_ms.append(spent)
            same = same and np.array_equal(labels, theirs)
        equal += same
        if (index + 1) % 50 == 0:
            print(f"{index + 1} of {options.count} maps", file=sys.stderr)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    large = np.zeros((7, 4096, 4096), np.uint8)
    large[:, ::4, ::4] = 1
    large[0] = 1
    labels, large_ms = timed(pse, large, 0)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {
        "maps": options.count,
        "equal_to_official": equal,
        "ours_ms": round(float(np.median(ours_ms)), 2),
        "official_ms": round(float(np.median(official_ms)), 2) if official else None,
        "ratio": round(float(np.median(np.divide(official_ms, ours_ms))), 2) if official else None,
        "large_ms": round(large_ms, 1),
        "large_instances": int(labels.max()),
        "large_mib": round((after - before) / 1024 - large.nbytes / 2**20),
    }
    if options.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name:18} {value}")
    sys.exit(equal != options.count)


if __name__ == "__main__":
    main()
