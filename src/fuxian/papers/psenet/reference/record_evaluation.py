"""Records what the official evaluation script answers on the generated cases.

    git clone -b python3 https://github.com/whai362/PSENet && pip install Polygon3
    2to3 -w PSENet/eval/ic15/script.py PSENet/eval/ic15/rrc_evaluation_funcs.py
    sed -i '/^from io import StringIO/d' PSENet/eval/ic15/rrc_evaluation_funcs.py
    python -m fuxian.papers.psenet.reference.record_evaluation PSENet/eval/ic15

Writes evaluation.json beside this file. The script is Python 2's; 2to3 changes its syntax alone.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import zipfile
from pathlib import Path

from fuxian.papers.psenet.reference.evaluation_cases import COUNT, case
from fuxian.papers.psenet.reference.record_expansion import COMMIT, REPO

RECORD = Path(__file__).with_name("evaluation.json")


def main() -> None:
    sys.path.insert(0, sys.argv[1])
    script = importlib.import_module("script")
    with tempfile.TemporaryDirectory() as folder:
        truth, found = Path(folder) / "gt.zip", Path(folder) / "found.zip"
        with zipfile.ZipFile(truth, "w") as gt, zipfile.ZipFile(found, "w") as submission:
            for index in range(COUNT):
                truths, texts, detections = case(index)
                lines = [
                    ",".join([*map(str, one.ravel()), text]) for one, text in zip(truths, texts, strict=True)
                ]
                gt.writestr(f"gt_img_{index}.txt", "\n".join(lines))
                lines = [",".join(map(str, one.ravel())) for one in detections]
                submission.writestr(f"res_img_{index}.txt", "\n".join(lines))
        parameters = script.default_evaluation_params()
        script.validate_data(str(truth), str(found), parameters)
        answer = script.evaluate_method(str(truth), str(found), parameters)
    samples = [answer["per_sample"][str(index)] for index in range(COUNT)]
    document = {
        "repo": REPO,
        "commit": COMMIT,
        "file": "eval/ic15/script.py",
        "command": "python -m fuxian.papers.psenet.reference.record_evaluation PSENet/eval/ic15",
        "method": answer["method"],
        "pairs": [[[pair["gt"], pair["det"]] for pair in sample["pairs"]] for sample in samples],
        "ignored_detections": [sample["detDontCare"] for sample in samples],
        "ignored_truths": [sample["gtDontCare"] for sample in samples],
    }
    RECORD.write_text(json.dumps(document) + "\n")
    print(document["method"])


if __name__ == "__main__":
    main()
