"""An exported network and Paddle Inference: what runs it, and whether oneDNN may.

On some networks (Conv2D, BatchNorm2D, LeakyReLU(0.2) in a row, for one) Paddle's oneDNN passes take the process down.
So what was exported is tried in a child process, without oneDNN and with it, and the description beside it says
which of both it is to be run with.
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
_WITHOUT, _WITH = "without oneDNN", "with oneDNN"


def predictor(folder: Path) -> Any:
    """Paddle Inference's predictor of an exported network, on the CPU, as its description wants it.

    Raises InputError where there is no exported network.
    """
    return _predictor(folder, onednn=described(folder)["onednn"])


def described(folder: Path) -> dict[str, Any]:
    """The description beside an exported network: ``onednn``, and ``why`` where it is off."""
    try:
        found = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8")[:LARGEST])
    except (OSError, ValueError):
        found = {}
    onednn = isinstance(found, dict) and found.get("onednn") is True
    return {"onednn": onednn, "why": str(found.get("why", ""))[:300] if isinstance(found, dict) else ""}


def describe_export(folder: Path, inputs: Sequence[np.ndarray] = ()) -> dict[str, Any]:
    """Tries the network that was exported to ``folder`` in a child process, and writes its description.

    Args:
        inputs: an example batch, in the order of the network's inputs; of the declared shapes if absent.

    Returns:
        What was written: ``onednn``, whether the network may run with it, and ``why`` it may not.

    Raises PlatformError where the network runs neither with nor without.
    """
    with tempfile.TemporaryDirectory() as place:
        given = Path(place) / "inputs.npz"
        np.savez(given, allow_pickle=False, **{f"{number:03d}": one for number, one in enumerate(inputs)})
        command = [sys.executable, "-P", "-m", "fuxian.training.inference", str(folder), str(given)]
        try:
            child = subprocess.run(  # noqa: S603 - our own interpreter and module
                command, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise PlatformError(f"the exported network did not run within {SECONDS:.0f} s.") from error
    said = [line for line in child.stdout.splitlines() if line.startswith((_WITHOUT, _WITH))]
    if not said:
        last = (child.stderr.strip().splitlines() or ["it said nothing"])[-1][:200]
        raise PlatformError(f"the exported network does not run ({last}).")
    why = ""
    if child.returncode < 0:
        why = f"Paddle Inference with oneDNN dies on it ({signal.Signals(-child.returncode).name})"
    elif len(said) < 2:
        why = "Paddle Inference with oneDNN fails on it"
    elif not float(said[1].split()[-1]) <= TOLERANCE:
        why = f"with oneDNN its outputs differ by {said[1].split()[-1]} of the largest"
    description = {"onednn": not why, **({"why": why} if why else {})}
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
    return description


def _predictor(folder: Path, *, onednn: bool) -> Any:
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
    return inference.create_predictor(config)


def _outputs(folder: Path, given: list[np.ndarray], *, onednn: bool) -> list[np.ndarray]:
    made = _predictor(folder, onednn=onednn)
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
    """The child: prints a line for the run without oneDNN, and one with the difference for the run with it."""
    folder, given = Path(sys.argv[1]), Path(sys.argv[2])
    with np.load(given, allow_pickle=False) as stored:
        inputs = [stored[name] for name in sorted(stored.files)] or _examples(folder)
    plain = _outputs(folder, inputs, onednn=False)
    print(_WITHOUT, flush=True)
    fast = _outputs(folder, inputs, onednn=True)
    largest = max((float(np.abs(one).max()) for one in plain if one.size), default=0.0)
    apart = max(
        (float(np.abs(a.astype(np.float64) - b).max()) for a, b in zip(plain, fast, strict=True) if a.size),
        default=0.0,
    )
    print(f"{_WITH} {apart / max(largest, 1e-30):.3g}", flush=True)


if __name__ == "__main__":
    main()
