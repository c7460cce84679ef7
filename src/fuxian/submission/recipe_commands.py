"""Trains, evaluates, predicts, exports and infers a submission that is written as a Fuxian recipe.

A manifest with ``recipe = "recipe.py"`` runs these; so do the ``tools/*.py`` that `fuxian package` writes:

    python -m fuxian.submission.recipe_commands train --steps=100 --out=output

The recipe file defines ``recipe(claim, *, seed, iterations, eval_split) -> Recipe``, every parameter with a default.
All commands run in the submission's folder, the one with fuxian.toml.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from fuxian.errors import InputError, PlatformError
from fuxian.json_files import write_json
from fuxian.paper import Claim
from fuxian.recipe import Batch, Recipe, call_model, leaves, map_tree, tree_of
from fuxian.source_file import load_module, mistakes_in
from fuxian.submission.manifest import CommandName, Manifest, read_manifest
from fuxian.submission.official_log import official_line
from fuxian.weights import save_tensors

WEIGHTS = "model.safetensors"
PERTURBATION_VARIABLE = "FUXIAN_PERTURBATION"
"""Of the environment: train moves the initial weights by so much, relative, which shows what rounding may do."""
"""What ``train`` calls the weights after the last step."""
PURPOSES = {
    "train": "Trains the model.",
    "evaluate": "Evaluates trained weights on the test split.",
    "predict": "Predicts on the test split without reading its targets.",
    "export": "Exports the network as a static graph.",
    "infer": "Runs the exported network with Paddle Inference.",
}
"""Of each command, in one line."""
LITE_EXAMPLES = 8
NETWORK = "model"
"""The name of the exported network's files, without their ending."""
INPUT, DATA = "input_", "pd_op.data"
"""What the name of an exported input begins with that has none of its own; Paddle's operator for an input."""


def make_recipe(
    manifest: Manifest, claim: Claim, *, seed: int = 0, iterations: int = 1, split: str = "test"
) -> Recipe:
    """The recipe of a claim, its evaluation on ``split`` ("validation" while training, else "test").

    Raises InputError where the manifest names no recipe, or the file defines none.
    """
    return recipe_of_file(manifest, manifest.recipe, claim, seed=seed, iterations=iterations, split=split)


def recipe_of_file(
    manifest: Manifest,
    name: str | None,
    claim: Claim,
    *,
    seed: int = 0,
    iterations: int = 1,
    split: str = "test",
) -> Recipe:
    """As ``make_recipe``, of a file of the submission, such as its reference's recipe."""
    if name is None:
        raise InputError(f'{manifest.folder}: fuxian.toml names no recipe; add recipe = "recipe.py".')
    file = manifest.folder / name
    if not file.is_file():
        raise InputError(f"{file}: there is no such recipe file; mend its name in fuxian.toml.")
    module = load_module(file)
    maker = getattr(module, "recipe", None)
    if not callable(maker):
        raise InputError(
            f"{file}: there is no function recipe(); define recipe(claim, *, seed, iterations, eval_split)."
        )
    with mistakes_in(file.resolve()):
        made = maker(claim.id, seed=seed, iterations=iterations, eval_split=split)
    if not isinstance(made, Recipe):
        raise InputError(f"{file}: recipe() returned {type(made).__name__}; return a fuxian.recipe.Recipe.")
    return made


def train(
    manifest: Manifest,
    claim: Claim,
    *,
    seed: int,
    steps: int,
    out: Path,
    resume: Path | None = None,
    until: int | None = None,
) -> Path | None:
    """Trains ``steps`` steps into the run folder ``out`` and returns the weights after the last.

    Writes log.jsonl, vdl/, checkpoints/, environment.json and model.safetensors. For a replay, ``resume`` is the
    checkpoint to go on from, and the training ends after step ``until``: 0 writes what it starts from, its digest into
    the log and the weights.
    """
    from fuxian.training import environment
    from fuxian.training.checkpoints import latest, weights_of
    from fuxian.training.fit import Length, fit

    made = make_recipe(manifest, claim, seed=seed, iterations=steps, split="validation")
    if PERTURBATION_VARIABLE in os.environ:
        made = perturbed(made, float(os.environ[PERTURBATION_VARIABLE]))
    length = Length(
        iterations=steps if until is None else until,
        log_every=claim.log_every,
        checkpoint_every=claim.checkpoint_every,
        evaluate_every=claim.evaluate_every if until is None else 0,
    )
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "environment.json", environment.describe())
    if resume is not None:
        step = int(json.loads((resume / "state.json").read_text(encoding="utf-8"))["step"])
        shutil.copytree(resume, out / "checkpoints" / f"step_{step:08d}")

    def report(step: int, figures: dict[str, float]) -> None:
        if figures:
            print(official_line({"step": step, **figures}, steps), flush=True)

    trained = fit(made, out, seed=seed, length=length, progress=report)
    newest = latest(out / "checkpoints")
    if newest is None and until == 0:
        save_tensors(out / WEIGHTS, {name: value.numpy() for name, value in trained.state_dict().items()})
        return out / WEIGHTS
    if newest is None:
        return None
    shutil.copyfile(weights_of(newest), out / WEIGHTS)
    return out / WEIGHTS


def perturbed(made: Recipe, size: float) -> Recipe:
    """The same recipe with every initial weight moved by about ``size``, relative."""

    def model() -> Any:
        network = made.model()
        draws = np.random.Generator(np.random.PCG64(1))
        for weight in network.parameters():
            values = weight.numpy()
            moved = values * (1 + size * draws.standard_normal(values.shape))
            weight.set_value(moved.astype(values.dtype))
        return network

    return dataclasses.replace(made, model=model)


def evaluate(manifest: Manifest, claim: Claim, *, checkpoint: Path, seed: int, out: Path) -> dict[str, float]:
    """Evaluates weights on the test split and returns every figure of the metric.

    Writes measurements.json and environment.json.
    """
    from fuxian.training import environment
    from fuxian.training.checkpoints import load_evaluated
    from fuxian.training.evaluate import evaluate as run
    from fuxian.verdict import Measurements, measured_run, write_measurements

    made = make_recipe(manifest, claim)
    found = run(made, load_evaluated(made, checkpoint))
    measurements = Measurements((measured_run(claim, seed, found.figures, found.units),))
    about = {
        "paper": manifest.paper.id,
        "claim": claim.id,
        "scope": claim.scope,
        "metric": claim.metric,
        "figures": found.figures,
    }
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "environment.json", environment.describe())
    write_measurements(out / "measurements.json", measurements, about)
    for name, figure in found.figures.items():
        print(f"{name}: {figure:.6g}")
    return found.figures


def predict(
    manifest: Manifest, claim: Claim, *, checkpoint: Path, out: Path, inputs: Path | None = None
) -> Path:
    """Writes predictions.npz: every output of the test split's batches, as ``<batch>.<leaf>``; reads no target.

    ``inputs`` is a folder of drawn batches, ``0000.npz`` and so on, that are predicted instead.
    """
    from fuxian.training.checkpoints import load_evaluated
    from fuxian.training.evaluate import outputs_of

    made = make_recipe(manifest, claim)
    model = load_evaluated(made, checkpoint)
    model.eval()
    drawn = None if inputs is None else list(_drawn(inputs))
    batches = (
        (batch["inputs"] for batch in _test_data(made)) if drawn is None else (tree for _, tree in drawn)
    )
    outputs = (outputs_of(made, model, given) for given in batches)
    return _write_predictions(out, outputs, None if drawn is None else [name for name, _ in drawn])


def export(manifest: Manifest, claim: Claim, *, checkpoint: Path, out: Path) -> Path:
    """Writes the network as a static graph, ``model.json`` and ``model.pdiparams``.

    The batch size is left open. A recipe's own ``forward`` becomes part of the graph, at the size of the test
    split's first batch: an inner loop, for one, has the number of tasks in its shapes.
    """
    import paddle

    from fuxian.training.checkpoints import load_evaluated
    from fuxian.training.evaluate import outputs_of
    from fuxian.training.inference import describe_export

    made = make_recipe(manifest, claim)
    network = load_evaluated(made, checkpoint)
    inputs = next(iter(_test_data(made)))["inputs"]
    examples = [leaf for _, leaf in leaves(inputs)]
    used = list(range(len(examples)))

    def spec(leaf: np.ndarray, size: int | None) -> Any:
        return paddle.static.InputSpec([size, *leaf.shape[1:]], str(leaf.dtype))

    if made.forward is call_model:
        specs = [spec(leaf, None) for leaf in examples]
        network.eval()
        if _takes_any_number(network.forward) or isinstance(outputs_of(made, network, inputs), dict):
            network, named = _with_named_inputs(network, examples, specs)
            used, specs = network.places, [named]
    else:
        network = _with_forward(network, made.forward)
        specs = [map_tree(lambda leaf: spec(leaf, len(leaf)), inputs)]
    network.eval()
    out.mkdir(parents=True, exist_ok=True)
    paddle.jit.save(network, str(out / NETWORK), input_spec=specs)
    found = describe_export(out, [examples[place] for place in used])
    if not found["onednn"]:
        print(f"exported to be run without oneDNN: {found['why']}.", file=sys.stderr)
    return out


def _takes_any_number(forward: Callable[..., Any]) -> bool:
    """Whether its inputs have no names, ``forward(*inputs)``, which Paddle does not export."""
    return any(one.kind is one.VAR_POSITIONAL for one in inspect.signature(forward).parameters.values())


def _with_named_inputs(model: Any, examples: list[np.ndarray], specs: list[Any]) -> tuple[Any, Any]:
    """A network of those inputs that the model uses, and their specifications, each named by its place: Paddle exports
    neither ``forward(*inputs)`` nor an input that is left out."""
    import paddle

    constants = [paddle.to_tensor(one) for one in examples]

    class Network(paddle.nn.Layer):
        def __init__(self, places):
            super().__init__()
            self.model, self.places = model, places

        def forward(self, inputs):
            given = list(constants)
            for number, place in enumerate(self.places):
                given[place] = inputs[number]
            return _in_order(self.model(*given))

    named = [
        paddle.static.InputSpec(one.shape, one.dtype, f"{INPUT}{place}") for place, one in enumerate(specs)
    ]
    whole = paddle.jit.to_static(Network(range(len(named))), input_spec=[named], full_graph=True)
    whole.eval()
    program = whole.forward.concrete_program.main_program
    used = {
        op.attrs()["name"]
        for op in program.global_block().ops
        if op.name() == DATA and not op.result(0).use_empty()
    }
    places = [place for place, one in enumerate(named) if one.name in used]
    return Network(places), [named[place] for place in places]


def _with_forward(model: Any, forward: Callable[[Any, Any], Any]) -> Any:
    """A network whose own forward is the recipe's."""
    import paddle

    traced = paddle.jit.to_static(forward, full_graph=True)

    class Network(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, inputs):
            return _in_order(traced(self.model, inputs))

    return Network()


def _in_order(outputs: Any) -> Any:
    """Paddle would sort a dict by its keys, and predict does not."""
    return list(outputs.values()) if isinstance(outputs, dict) else outputs


def infer(manifest: Manifest, claim: Claim, *, exported: Path, out: Path) -> Path:
    """Runs the exported network with Paddle Inference over the test split; writes what ``predict`` writes."""
    from fuxian.training.inference import predictor as predictor_of

    predictor = predictor_of(exported)
    names = predictor.get_input_names()
    handles = [predictor.get_input_handle(name) for name in names]
    places = [
        int(name.removeprefix(INPUT)) if name.startswith(INPUT) else at for at, name in enumerate(names)
    ]
    sizes = [handle.shape()[0] for handle in handles]  # 0 or less where it was left open

    def run(given: list[np.ndarray], missing: list[int]) -> list[np.ndarray]:
        for handle, array, more in zip(handles, given, missing, strict=True):
            # The last batch of a split is often smaller: its last example stands in for those that are missing.
            handle.copy_from_cpu(np.concatenate([array, *[array[-1:]] * more]))
        predictor.run()
        return [predictor.get_output_handle(name).copy_to_cpu() for name in predictor.get_output_names()]

    def outputs() -> Iterable[Any]:
        for batch in _test_data(make_recipe(manifest, claim)):
            found = [leaf for _, leaf in leaves(batch["inputs"])]
            given = [np.ascontiguousarray(found[place]) for place in places]
            missing = [size - len(array) if size > 0 else 0 for size, array in zip(sizes, given, strict=True)]
            too_many = min(missing, default=0) < 0
            made = [] if too_many else run(given, missing)
            by_example = all(one.ndim and len(one) == sizes[0] for one in made)
            if too_many or (any(missing) and not by_example):
                raise InputError(
                    f"{exported}: the network takes batches of {sizes[0]}, and the test split has one of"
                    f" {len(given[0])}; make its batches of one size."
                )
            yield [one[: len(given[0])] for one in made] if any(missing) else made

    return _write_predictions(out, outputs())


def lite_data(manifest: Manifest, claim: Claim, *, out: Path) -> list[Path]:
    """Writes train.npz and eval.npz: up to ``LITE_EXAMPLES`` of each split, a key a leaf, as in ``inputs.0``."""
    made = make_recipe(manifest, claim)
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, data in (("train", made.train_data), ("eval", made.eval_data)):
        if data is None:
            continue
        batch = next(iter(data()))
        parts = leaves({part: batch[part] for part in ("inputs", "targets")})
        arrays = {path: leaf[:LITE_EXAMPLES] for path, leaf in parts if isinstance(leaf, np.ndarray)}
        np.savez_compressed(out / f"{name}.npz", allow_pickle=False, **arrays)
        written.append(out / f"{name}.npz")
    return written


def _test_data(made: Recipe) -> Iterable[Batch]:
    if made.eval_data is None:
        raise InputError("the recipe has no eval_data; add it.")
    return made.eval_data()


def _drawn(folder: Path) -> Iterable[tuple[str, Any]]:
    """The drawn batches of inputs, by name: a leaf's name in the file is its path, as in ``inputs.0``."""
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise InputError(f"{folder}: there is no batch of inputs (0000.npz and so on); give such a folder.")
    for file in files:
        with np.load(file, allow_pickle=False) as stored:
            yield file.stem, tree_of({name: stored[name] for name in stored.files})["inputs"]


def _write_predictions(out: Path, outputs: Iterable[Any], names: list[str] | None = None) -> Path:
    arrays = {
        f"{names[number] if names else f'{number:04d}'}.{index}": np.asarray(leaf)
        for number, tree in enumerate(outputs)
        for index, (_, leaf) in enumerate(leaves(tree))
    }
    out.mkdir(parents=True, exist_ok=True)
    np.savez(out / "predictions.npz", allow_pickle=False, **arrays)
    return out / "predictions.npz"


def _parser(name: CommandName | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=PURPOSES[name] if name else __doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if name is None:
        parser.add_argument(
            "command", choices=("train", "evaluate", "predict", "export", "infer", "lite-data")
        )
    parser.add_argument("--recipe", help="the manifest's, if absent")
    parser.add_argument("--claim", help="the manifest's first, if absent")
    parser.add_argument("--seed", type=int, help="the log's, if absent")
    parser.add_argument("--steps", type=int, help="the claim's, if absent")
    parser.add_argument("--checkpoint", type=Path, help="the manifest's, if absent")
    parser.add_argument("--resume", type=Path, help="train: go on from this checkpoint")
    parser.add_argument("--until", type=int, help="train: end after this step of all --steps")
    parser.add_argument(
        "--reproducible",
        action="store_true",
        help="train: the same bits on every processor",
    )
    parser.add_argument("--inputs", default="", help="a folder of drawn batches; the test split, if empty")
    parser.add_argument(
        "--exported", type=Path, default=Path("output"), help="the folder that export wrote to"
    )
    parser.add_argument("--out", type=Path, default=Path("output"), help="the folder to write to")
    parser.add_argument("--use-gpu", choices=("True", "False"), default="False")
    return parser


def main(name: CommandName | None = None, folder: Path | None = None) -> None:
    """One command of the command line, ``name`` or the first argument; exits with 2 for bad input."""
    given = _parser(name).parse_args()
    try:
        _run(name or given.command, folder or Path(), given)
    except (InputError, PlatformError) as error:
        print(f"{error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, InputError) else 4)


def _run(name: str, folder: Path, given: argparse.Namespace) -> None:
    from fuxian.training import numeric_mode
    from fuxian.training.machine import prepare

    if given.reproducible:
        numeric_mode.make_portable()
    prepare()
    manifest = read_manifest(folder)
    if given.recipe is not None:
        manifest = manifest.model_copy(update={"recipe": given.recipe})
    claim = manifest.claim(given.claim)
    logged = manifest.log.seed if manifest.log else None
    seed = next(number for number in (given.seed, logged, claim.seeds[0]) if number is not None)
    import paddle

    paddle.set_device("gpu" if given.use_gpu == "True" else "cpu")
    if name == "train":
        train(
            manifest,
            claim,
            seed=seed,
            steps=given.steps or claim.iterations,
            out=given.out,
            resume=given.resume,
            until=given.until,
        )
        return
    if name == "lite-data":
        lite_data(manifest, claim, out=given.out)
        return
    if name == "infer":
        infer(manifest, claim, exported=given.exported, out=given.out)
        return
    stored = manifest.checkpoint_of(claim)
    checkpoint = given.checkpoint or (manifest.folder / stored if stored else None)
    if checkpoint is None:
        raise InputError("no weights were named; give --checkpoint, or checkpoint in fuxian.toml.")
    if name == "evaluate":
        evaluate(manifest, claim, checkpoint=checkpoint, seed=seed, out=given.out)
    elif name == "predict":
        inputs = Path(given.inputs) if given.inputs else None
        predict(manifest, claim, checkpoint=checkpoint, out=given.out, inputs=inputs)
    else:
        export(manifest, claim, checkpoint=checkpoint, out=given.out)


if __name__ == "__main__":
    main()
