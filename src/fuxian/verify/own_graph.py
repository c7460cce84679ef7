"""Rung 2: an exported network, run by the organiser. Runs in the sandbox, where nothing of the submission is but the
graph: operators of Paddle Inference and their constants, no code.

    python -P -m fuxian.verify.own_graph EXPORTED INPUTS OUT

Writes ``predictions.npz`` with an array ``<batch>.<leaf>`` for every batch of inputs. Exit code 2: the network does not
take these inputs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from fuxian.errors import InputError


def main() -> int:
    parser = argparse.ArgumentParser()
    for name in ("exported", "inputs", "out"):
        parser.add_argument(name)
    given = parser.parse_args()
    try:
        predict(Path(given.exported), Path(given.inputs), Path(given.out))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def network_files(exported: Path) -> tuple[Path, Path]:
    """Structure and weights of the one network in a folder. Raises InputError where there is none, or more."""
    weights = sorted(exported.rglob("*.pdiparams"))
    if len(weights) != 1:
        raise InputError(f"export wrote {len(weights)} networks (*.pdiparams); let it write one.")
    for ending in (".json", ".pdmodel"):
        structure = weights[0].with_suffix(ending)
        if structure.is_file():
            return structure, weights[0]
    raise InputError(
        f"beside {weights[0].name} lies no .json or .pdmodel; let export write the whole network."
    )


def predict(exported: Path, inputs: Path, out: Path) -> None:
    """See the module. Raises InputError for a network that does not take these inputs."""
    structure, weights = network_files(exported)

    from paddle import inference

    from fuxian.recipe import leaves
    from fuxian.verify.batches import inputs_in

    config = inference.Config(str(structure), str(weights))
    config.disable_gpu()
    # oneDNN takes the process down on some networks, and without it the numbers are those of the eager network.
    config.disable_mkldnn()
    config.disable_glog_info()
    predictor = inference.create_predictor(config)
    names = predictor.get_input_names()
    arrays: dict[str, np.ndarray] = {}
    for name, batch in inputs_in(inputs):
        given = [np.ascontiguousarray(leaf) for _, leaf in leaves(batch)]
        if len(given) != len(names):
            raise InputError(f"the exported network takes {len(names)} inputs, and a batch has {len(given)}.")
        for input_name, array in zip(names, given, strict=True):
            handle = predictor.get_input_handle(input_name)
            wanted = handle.shape()
            # Sizes that are left open are 0 or less, and where all are, the shape may be [0] alone.
            known = len(wanted) == array.ndim and [*zip(wanted, array.shape, strict=True)]
            if any(size > 0 and size != had for size, had in known or ()):
                raise InputError(
                    f"the exported network's input {input_name!r} has the shape {wanted}, and a batch"
                    f" {list(array.shape)}; leave the batch's size open."
                )
            handle.reshape(array.shape)
            handle.copy_from_cpu(array)
        predictor.run()
        for index, output in enumerate(predictor.get_output_names()):
            arrays[f"{name}.{index}"] = predictor.get_output_handle(output).copy_to_cpu()
    with (out / "predictions.npz").open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


if __name__ == "__main__":
    sys.exit(main())
