"""Exports a paper's network for Paddle Inference, and proves that what was written computes what ``predict`` does.

What may take a process down runs in child processes (``python -m fuxian.papers.exporting``), which read a JSON request
from stdin and write a JSON answer to a file: one makes and writes the network, ``fuxian.training.inference`` tries it
with and without oneDNN, and another compares what it computes. Where it is asked for, one more writes the network in
ONNX and runs that (``fuxian.papers.onnx_export``). An exported folder holds

- ``model.json`` and ``model.pdiparams``: the network;
- ``model.onnx``: the same in ONNX, where it was asked for;
- ``inference.json``: its inputs (names, shapes with free dimensions, preprocessing) and outputs, whether oneDNN may run
  it, and what the comparisons found.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fuxian.errors import InputError, PlatformError
from fuxian.json_files import json_text, write_json
from fuxian.own_process import run_module
from fuxian.paper import Claim
from fuxian.papers import onnx_export
from fuxian.papers.contract import ExportedInput, ExportedNetwork, ExportedOutput, PaperFolder
from fuxian.papers.find import find_claim
from fuxian.training.inference import DESCRIPTION, NETWORK, describe_export, predictor

MODULE = "fuxian.papers.exporting"
TIMEOUT = 600.0
"""Seconds."""
TOLERANCE = 5e-5
"""Of the largest output (or of 1, if that is more): how far float32 computations in another order may be apart."""
Run = Callable[[list[np.ndarray]], list[np.ndarray]]
"""A network's outputs for its inputs."""


def export(
    folder: PaperFolder,
    claim: Claim,
    weights: Path,
    out: Path,
    options: Mapping[str, Any] | None = None,
    *,
    onnx: bool = False,
) -> dict[str, Any]:
    """Exports the claim's network into the new folder ``out``, which appears whole or not at all.

    ``options`` are the paper's own, by name. ``onnx``: in ONNX too.

    Returns:
        What ``inference.json`` holds, and ``files``, the names of all that was written.

    Raises:
        InputError: ``out`` is there and not empty, the paper's export raised it, or what ONNX needs is not installed.
        PlatformError: a child failed, crashed, took longer than ten minutes, or the network that was written
            computes something else.
    """
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise InputError(f"{out} is there already; name a new folder with --out.")
    if onnx:
        onnx_export.require_packages()
    try:
        draft = tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.")
    except OSError as error:
        raise InputError(f"{out} cannot be made ({error.strerror}); give another --out.") from error
    with draft as place:
        made = Path(place) / "made"
        made.mkdir()
        request = {
            "name": f"{folder.name}/{claim.id}",
            "weights": str(weights),
            "out": str(made),
            "place": place,
            "options": dict(options or {}),
        }
        description = _ask_child({**request, "do": "write"})
        examples, _ = _stored(Path(place))
        description |= {"paper": folder.paper.id, "claim": claim.id, **describe_export(made, examples)}
        description["check"] = _ask_child({"do": "check", "out": str(made), "place": place})
        if onnx:
            description["onnx"] = _ask_child({**description, "do": "onnx", "out": str(made), "place": place})
        description.pop("onnx_one_at_a_time", None)
        write_json(made / DESCRIPTION, description)
        files = sorted(file.name for file in made.iterdir())
        try:
            made.rename(out)
        except OSError as error:
            raise InputError(f"{out} cannot be made ({error.strerror}); give another --out.") from error
    return {**description, "files": files}


def _ask_child(request: dict[str, Any]) -> dict[str, Any]:
    answer_file = Path(request["place"]) / f"answer-{request['do']}.json"
    answer_file.unlink(missing_ok=True)
    late = f"the exporter took longer than {TIMEOUT:g} s and was ended; run it again."
    asked = json_text({**request, "answer": answer_file})
    child = run_module(MODULE, seconds=TIMEOUT, late=late, stdin=asked)
    if child.returncode < 0:
        name = signal.Signals(-child.returncode).name
        raise PlatformError(
            f"the exporter crashed with {name} and wrote nothing; use the Paddle that Fuxian pins."
        )
    try:
        answer = json.loads(answer_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        answer = {"failed": f"it ended with exit code {child.returncode} and no answer"}
    if "bad_input" in answer:
        raise InputError(answer["bad_input"])
    if "platform" in answer:
        raise PlatformError(answer["platform"])
    if "failed" in answer:
        raise PlatformError(
            f"the exporter failed and wrote nothing: {answer['failed']}; FUXIAN_TRACEBACK=1 shows more."
        )
    return answer["made"]


def write(made: ExportedNetwork, out: Path) -> None:
    """Writes the network as a static graph with the free dimensions left open.

    Raises InputError where the paper's export contradicts itself.
    """
    import paddle

    for what, given, arrays in (
        ("inputs", made.inputs, made.examples),
        ("outputs", made.outputs, made.expected),
    ):
        if len(given) != len(arrays):
            raise InputError(
                f"export() describes {len(given)} {what} and gives {len(arrays)} arrays; mend export.py."
            )
    described: tuple[ExportedInput | ExportedOutput, ...] = (*made.inputs, *made.outputs)
    for one, array in zip(described, (*made.examples, *made.expected), strict=True):
        if not _fits(one, array):
            raise InputError(
                f"export() gives {one.name!r} the shape {_words(one.shape)} and an array of {_words(array.shape)};"
                " mend export.py."
            )
    made.network.eval()
    spec = [
        paddle.static.InputSpec(
            [None if isinstance(size, str) else size for size in given.shape], given.dtype, given.name
        )
        for given in made.inputs
    ]
    paddle.jit.save(made.network, str(out / NETWORK), input_spec=spec)


def describe(made: ExportedNetwork) -> dict[str, Any]:
    """What stands in ``inference.json`` of a network, without the check."""
    return {
        "network": [f"{NETWORK}.json", f"{NETWORK}.pdiparams"],
        "inputs": list(made.inputs),
        "outputs": list(made.outputs),
        "about": made.about,
    }


def check(out: Path, place: Path) -> dict[str, Any]:
    """Runs the written network on the examples; see ``compared``."""
    runner = predictor(out)
    return compared(lambda arrays: _run(runner, arrays), place, "the written network")


def onnx(request: dict[str, Any]) -> dict[str, Any]:
    """Writes the network in ONNX beside itself and runs that on the examples; see ``compared``."""
    out, place, why = Path(request["out"]), Path(request["place"]), request["onnx_one_at_a_time"]
    ports: list[list[dict[str, Any]]] = [request["inputs"], request["outputs"]]
    if why:
        ports = [[{**one, "shape": [1, *one["shape"][1:]]} for one in given] for given in ports]
    written = onnx_export.convert(out, *ports)
    run = onnx_export.runner(out)
    if not why:
        return {**written, **compared(run, place, "the ONNX network")}
    found = compared(lambda arrays: _one_at_a_time(run, arrays), place, "the ONNX network")
    return {**written, **found, "batches": [1], "one_at_a_time": why}


def _one_at_a_time(run: Run, arrays: list[np.ndarray]) -> list[np.ndarray]:
    made = [run([one[place : place + 1] for one in arrays]) for place in range(len(arrays[0]))]
    return [np.concatenate(parts) for parts in zip(*made, strict=True)]


def compared(run: Run, place: Path, what: str) -> dict[str, Any]:
    """What a written network computes of the examples, and where the batch is free of one of them and of twice as many.

    Returns:
        ``examples``, how many; ``batches``, the sizes tried; ``max_difference``, the largest difference of an output
        from the expected one, divided by the largest expected output or by 1.

    Raises PlatformError where that is above 5e-5 or a batch of another size does not go through.
    """
    examples, expected = _stored(place)
    difference = max(_difference(one, other) for one, other in zip(run(examples), expected, strict=True))
    # Written so that NaN fails too.
    if not difference <= TOLERANCE:
        raise PlatformError(
            f"{what} differs from `fuxian predict` by {difference:.1e}, more than {TOLERANCE:.0e}: "
            "this Paddle exports it wrongly; use the version that Fuxian is tested with."
        )
    count = len(examples[0])
    sizes = [count]
    if json.loads((place / "free_batch.json").read_text()):
        for size in (1, 2 * count):
            outputs = run([np.resize(one, (size, *one.shape[1:])) for one in examples])
            if any(len(one) != size for one in outputs):
                raise PlatformError(
                    f"{what} gives {len(outputs[0])} outputs for a batch of {size}; leave the batch free in export.py."
                )
            sizes.append(size)
    return {"examples": count, "batches": sorted(sizes), "max_difference": difference}


def _stored(place: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The examples and what is expected of them."""
    with np.load(place / "examples.npz", allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    return (
        [array for name, array in arrays.items() if name.startswith("example")],
        [array for name, array in arrays.items() if name.startswith("expected")],
    )


def _run(runner: Any, arrays: list[np.ndarray]) -> list[np.ndarray]:
    for name, array in zip(runner.get_input_names(), arrays, strict=True):
        handle = runner.get_input_handle(name)
        handle.reshape(array.shape)
        handle.copy_from_cpu(np.ascontiguousarray(array))
    runner.run()
    return [runner.get_output_handle(name).copy_to_cpu() for name in runner.get_output_names()]


def _difference(found: np.ndarray, expected: np.ndarray) -> float:
    if found.shape != expected.shape:
        return float("inf")
    if not expected.size:
        return 0.0
    wanted = expected.astype(np.float64)
    return float(np.abs(found - wanted).max() / max(1.0, np.abs(wanted).max()))


def _fits(described: ExportedInput | ExportedOutput, array: np.ndarray) -> bool:
    return len(described.shape) == array.ndim and all(
        isinstance(size, str) or size == had for size, had in zip(described.shape, array.shape, strict=True)
    )


def _words(shape: tuple[int | str, ...]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"


def _free_batch(made: ExportedNetwork) -> bool:
    """Whether every input and output begins with one and the same free dimension."""
    shapes = [one.shape for one in made.inputs] + [one.shape for one in made.outputs]
    first = {shape[0] if shape else 0 for shape in shapes}
    return len(first) == 1 and isinstance(first.pop(), str)


def _write_all(request: dict[str, Any]) -> dict[str, Any]:
    folder, claim = find_claim(request["name"])
    made = folder.export(claim, Path(request["weights"]), typed_options(folder, "export", request["options"]))
    write(made, Path(request["out"]))
    place = Path(request["place"])
    arrays = {f"example{number}": array for number, array in enumerate(made.examples)}
    arrays |= {f"expected{number}": array for number, array in enumerate(made.expected)}
    with (place / "examples.npz").open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    (place / "free_batch.json").write_text(json.dumps(_free_batch(made)))
    return {**describe(made), "onnx_one_at_a_time": made.onnx_one_at_a_time}


def typed_options(folder: PaperFolder, part: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Options as they came through JSON: what is annotated as a path is one again."""
    known = folder.options(part)
    return {
        name: Path(value) if _bare(known[name].annotation) is Path and value is not None else value
        for name, value in given.items()
    }


def _bare(annotation: Any) -> Any:
    """The type of an annotation, without help and without None."""
    plain = (
        getattr(annotation, "__origin__", annotation) if hasattr(annotation, "__metadata__") else annotation
    )
    arguments = [one for one in getattr(plain, "__args__", ()) if one is not type(None)]
    return arguments[0] if len(arguments) == 1 and type(None) in plain.__args__ else plain


def main() -> None:
    """The child: answers the request on stdin."""
    request = json.load(sys.stdin)
    answer: dict[str, Any]
    try:
        if request["do"] == "write":
            answer = {"made": _write_all(request)}
        elif request["do"] == "onnx":
            answer = {"made": onnx(request)}
        else:
            answer = {"made": check(Path(request["out"]), Path(request["place"]))}
    except InputError as error:
        answer = {"bad_input": str(error)}
    except PlatformError as error:
        answer = {"platform": str(error)}
    except Exception as error:
        traceback.print_exc()
        answer = {"failed": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    Path(request["answer"]).write_text(json_text(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
