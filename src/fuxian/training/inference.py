"""An exported network and Paddle Inference: what runs it, and how far oneDNN may.

On some networks (Conv2D, BatchNorm2D, LeakyReLU(0.2) in a row, for one) Paddle's oneDNN passes take the process down,
and operators with a list of factors (interpolation) are refused. So what was exported is tried in child processes:
without oneDNN, with it, and where that fails with it for fused layers alone. The description beside the network says
which of these it is to be run with.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fuxian.errors import InputError, PlatformError

NETWORK = "model"
DESCRIPTION = "inference.json"
LARGEST = 1_000_000
"""Characters of a description that are read."""
TOLERANCE = 1e-3
"""Of the largest output: beyond it oneDNN gives other numbers, not other rounding."""
SECONDS = 300.0
OPEN_BATCH, OPEN_SIDE = 2, 64
"""What an open first and an open other dimension are tried with, where no example is given."""
PLACEMENT = "onednn_placement_pass"
"""The pass that gives every operator to oneDNN that has a kernel there; without it only fused layers go there."""
WAYS: dict[str, dict[str, Any]] = {
    "without oneDNN": {"onednn": False},
    "with oneDNN": {"onednn": True},
    "with fused layers by oneDNN": {"onednn": True, "without_passes": [PLACEMENT]},
}
"""What a description says of each."""
_PLAIN, _WHOLE, _FUSED = WAYS


def predictor(folder: Path) -> Any:
    """Paddle Inference's predictor of an exported network, on the CPU, as its description wants it.

    Raises InputError where there is no exported network.
    """
    found = described(folder)
    return _predictor(folder, onednn=found["onednn"], without_passes=found["without_passes"])


def described(folder: Path) -> dict[str, Any]:
    """The description beside an exported network: ``onednn``, the passes that it goes without, and ``why`` where it
    is not run with oneDNN as Paddle has it."""
    try:
        found = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8")[:LARGEST])
    except (OSError, ValueError):
        found = {}
    if not isinstance(found, dict):
        found = {}
    return {
        "onednn": found.get("onednn") is True,
        "without_passes": [PLACEMENT] if found.get("without_passes") == [PLACEMENT] else [],
        "why": str(found.get("why", ""))[:300],
    }


def describe_export(folder: Path, inputs: Sequence[np.ndarray] = ()) -> dict[str, Any]:
    """Tries the network that was exported to ``folder`` in a child process, and writes its description.

    Args:
        inputs: an example batch, in the order of the network's inputs; of the declared shapes if absent.

    Returns:
        What was written: ``onednn``, whether the network may run with it, ``without_passes`` where it must go without
        some, and ``why`` where it may not run with oneDNN as Paddle has it.

    Raises PlatformError where the network runs neither with nor without.
    """
    with tempfile.TemporaryDirectory() as place:
        given = Path(place) / "inputs.npz"
        np.savez(given, allow_pickle=False, **{f"{number:03d}": one for number, one in enumerate(inputs)})
        why = _refused(folder, given, _WHOLE)
        way = _WHOLE if not why else _PLAIN if _refused(folder, given, _FUSED) else _FUSED
    description = {**WAYS[way], **({"why": why} if why else {})}
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
    return description


def _refused(folder: Path, given: Path, way: str) -> str:
    """Why the network is not to be run in this way, a clause; empty where it may be. In a child process.

    Raises PlatformError where it does not run without oneDNN either.
    """
    command = [sys.executable, "-P", "-m", "fuxian.training.inference", str(folder), str(given), way]
    try:
        child = subprocess.run(  # noqa: S603 - our own interpreter and module
            command, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise PlatformError(f"the exported network did not run within {SECONDS:.0f} s.") from error
    said = [line for line in child.stdout.splitlines() if line.startswith(tuple(WAYS))]
    if not said:
        last = (child.stderr.strip().splitlines() or ["it said nothing"])[-1][:200]
        raise PlatformError(f"the exported network does not run ({last}).")
    if child.returncode < 0:
        return f"Paddle Inference {way} dies on it ({signal.Signals(-child.returncode).name})"
    if len(said) < 2:
        return f"Paddle Inference {way} fails on it"
    apart = said[1].split()[-1]
    return "" if float(apart) <= TOLERANCE else f"{way} its outputs differ by {apart} of the largest"


def _predictor(folder: Path, *, onednn: bool, without_passes: Sequence[str] = ()) -> Any:
    from paddle import inference

    structure, weights = folder / f"{NETWORK}.json", folder / f"{NETWORK}.pdiparams"
    if not (structure.is_file() and weights.is_file()):
        raise InputError(f"{folder}: there is no exported network; run `export` with --out={folder} first.")
    config = inference.Config(str(structure), str(weights))
    config.disable_gpu()
    config.disable_glog_info()
    if onednn:
        config.enable_mkldnn()
    else:
        config.disable_mkldnn()
    for name in without_passes:
        config.delete_pass(name)
    return inference.create_predictor(config)


def _outputs(folder: Path, given: list[np.ndarray], way: str) -> list[np.ndarray]:
    made = _predictor(folder, **WAYS[way])
    for name, array in zip(made.get_input_names(), given, strict=True):
        made.get_input_handle(name).copy_from_cpu(np.ascontiguousarray(array))
    made.run()
    return [made.get_output_handle(name).copy_to_cpu() for name in made.get_output_names()]


def _examples(folder: Path) -> list[np.ndarray]:
    """Inputs of the shapes that the network declares."""
    import paddle

    generator = np.random.default_rng(0)
    found = []
    for spec in paddle.jit.load(str(folder / NETWORK))._input_spec():
        usual = [OPEN_BATCH, *[OPEN_SIDE] * (len(spec.shape) - 1)]
        shape = [size if size > 0 else other for size, other in zip(spec.shape, usual, strict=True)]
        drawn = generator.random(shape)
        found.append(drawn.astype(str(spec.dtype).rpartition(".")[2]))
    return found


def main() -> None:
    """The child: prints a line for the run without oneDNN, and one with the difference for the run in another way."""
    folder, given, way = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    with np.load(given, allow_pickle=False) as stored:
        inputs = [stored[name] for name in sorted(stored.files)] or _examples(folder)
    plain = _outputs(folder, inputs, _PLAIN)
    print(_PLAIN, flush=True)
    fast = _outputs(folder, inputs, way)
    largest = max((float(np.abs(one).max()) for one in plain if one.size), default=0.0)
    apart = max(
        (float(np.abs(a.astype(np.float64) - b).max()) for a, b in zip(plain, fast, strict=True) if a.size),
        default=0.0,
    )
    print(f"{way} {apart / max(largest, 1e-30):.3g}", flush=True)


if __name__ == "__main__":
    main()
