"""An exported network in ONNX: converted by paddle2onnx, run by ONNX Runtime. Both come with ``fuxian[onnx]``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fuxian.errors import PlatformError
from fuxian.extras import need
from fuxian.own_process import run_module
from fuxian.training.inference import NETWORK

ONNX = f"{NETWORK}.onnx"
OPSET = 17
PACKAGES = ("paddle2onnx", "onnxruntime")
SECONDS = 300.0
MODULE = "fuxian.papers.onnx_export"
OLD_NAMES = {
    **{
        name: f"elementwise_{old}"
        for name, old in (
            *(
                ("add", "add"),
                ("subtract", "sub"),
                ("multiply", "mul"),
                ("divide", "div"),
                ("remainder", "mod"),
            ),
            *(("floor_divide", "floordiv"), ("maximum", "max"), ("minimum", "min")),
        )
    },
    **{name: f"reduce_{name}" for name in ("all", "any", "max", "mean", "min", "prod")},
    **{
        "argmax": "arg_max",
        "argmin": "arg_min",
        "arange": "range",
        "expand": "expand_v2",
        "topk": "top_k_v2",
    },
    **{"flatten": "flatten_contiguous_range", "hardsigmoid": "hard_sigmoid", "hardswish": "hard_swish"},
    **{"matmul": "matmul_v2", "nonzero": "where_index", "unsqueeze": "unsqueeze2"},
}
"""paddle2onnx lists what it knows by the names that operators had before Paddle 3."""
NO_OPERATORS = ("data", "feed", "fetch")


def require_packages() -> None:
    """Raises InputError where a package is missing."""
    need("onnx", PACKAGES, "--onnx, with Python 3.11,")


def convert(
    folder: Path, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Writes ``model.onnx`` into an exported folder, with inputs and outputs as they are described.

    Returns ``file`` and ``opset``. Raises PlatformError where an operator has no counterpart.
    """
    # paddle2onnx ends its process on what it does not know.
    late = f"paddle2onnx took longer than {SECONDS:.0f} s and was ended."
    child = run_module(MODULE, str(folder), seconds=SECONDS, late=late)
    if child.returncode != 0 or not (folder / ONNX).is_file():
        raise PlatformError(f"{_why_not(folder, child.stdout + child.stderr)}; export it without --onnx.")

    import onnx

    model = onnx.load(folder / ONNX)
    renamed = {one.name: given["name"] for one, given in zip(model.graph.output, outputs, strict=True)}
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [renamed.get(name, name) for name in names]
    for ports, described in ((model.graph.input, inputs), (model.graph.output, outputs)):
        for port, given in zip(ports, described, strict=True):
            kind, name = port.type.tensor_type.elem_type, renamed.get(port.name, port.name)
            port.CopyFrom(onnx.helper.make_tensor_value_info(name, kind, list(given["shape"])))
    onnx.checker.check_model(model)
    onnx.save(model, folder / ONNX)
    return {"file": ONNX, "opset": OPSET}


def runner(folder: Path) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
    """Runs ``model.onnx`` on one thread of the processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(folder / ONNX, options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    return lambda arrays: session.run(None, dict(zip(names, arrays, strict=True)))


def _why_not(folder: Path, said: str) -> str:
    unknown = _unknown_operators(folder)
    if unknown and "unsupported operators" in said:
        return f"paddle2onnx cannot write the network, for it does not know {', '.join(unknown)}"
    marked = "Failed to convert PaddlePaddle model: "
    found = [line.partition(marked)[2] for line in said.splitlines() if marked in line]
    last = found or [line for line in said.splitlines() if line.strip()] or ["it said nothing"]
    return f"paddle2onnx cannot write the network ({' '.join(last[-1].split())[:200]})"


def _unknown_operators(folder: Path) -> list[str]:
    """Operators of the network that paddle2onnx does not list, sorted."""
    import paddle
    from paddle2onnx.paddle2onnx_cpp2py_export import get_all_supported_operators_pir

    known = {*get_all_supported_operators_pir(), *NO_OPERATORS}
    used: set[str] = set()
    # Blocks do not keep their program alive.
    program = paddle.jit.load(str(folder / NETWORK)).program()
    blocks = [program.global_block()]
    while blocks:
        for operator in blocks.pop().ops:
            used.add(operator.name())
            blocks.extend(operator.blocks())
    names = {name.removeprefix("pd_op.").rstrip("_") for name in used if name.startswith("pd_op.")}
    return sorted(name for name in names if name not in known and OLD_NAMES.get(name) not in known)


def main() -> None:
    """The child: converts the network of a folder."""
    import paddle2onnx

    folder = Path(sys.argv[1])
    # Its own optimisers may install packages while they run.
    paddle2onnx.export(
        str(folder / f"{NETWORK}.json"),
        str(folder / f"{NETWORK}.pdiparams"),
        str(folder / ONNX),
        opset_version=OPSET,
        optimize_tool="none",
    )


if __name__ == "__main__":
    main()
