"""What a paper's folder offers, part by part, and in which form. Everything outside such a folder goes through here.

A folder is one of Fuxian's own (``src/fuxian/papers/<id with underscores>/``) or any other with a paper.toml and a
recipe.py. Each part is a module with plain functions; only the recipe must be there:

===================  ==============================================================================================
``recipe.py``        ``recipe(claim, *, seed, iterations, eval_split) -> Recipe``, each with a default. Further
                     keyword parameters are the recipe's own settings.
                     ``aligned(entry) -> Recipe``: what ``fuxian align`` runs, small and on generated data where the
                     real data may not be recorded. Absent: ``recipe(entry)``.
                     ``ALIGN_ENTRIES``: names that ``aligned`` takes. Absent: the claims' ids.
``draw.py``          ``draw(claim, seed) -> batches``: the test drawn for a ruling.
                     ``PUBLIC_LABELS``: the claims whose drawn test has labels that anyone can look up.
``predict.py``       ``predict(claim, path, weights, out, *, ...) -> Prediction``: the model on a user's own data.
                     ``PATH``: what the user's path may be, a sentence or more, shown by ``--help``.
``export.py``        ``export(claim, weights, *, ...) -> ExportedNetwork``: the network for Paddle Inference.
``curves.py``        ``curves(paper, claim, evaluations) -> dict``: named series for the report.
``pictures.py``      ``pictures(claim, weights, out)``: PNG files of what the weights predict on the claim's own test,
                     written into the existing folder ``out``; the report shows them.
``reference/``       ``recipe.py`` with ``aligned(entry)`` or ``recipe(claim, ...)`` in the reference's framework;
                     ``recordings/<entry>/``: what it did, as ``fuxian align record`` writes it.
``weights/``         ``<claim>.safetensors`` where it has at most 5 MB; ``weights.toml`` for larger files, official
                     weights and starting weights (see ``papers/weights_entries.py``).
===================  ==============================================================================================

``claim`` is always a claim's id, ``weights`` a file that ``fuxian.weights.load_tensors`` reads. What a user can do
wrong raises ``fuxian.errors.InputError``, one sentence with its mend.

``predict`` and ``export`` have the options that the paper gives them: keyword-only parameters annotated with a type
(int, float, str, bool, Path, or a Literal of strings) and a sentence of help. The command line takes them by name, a
parameter without a default must be given::

    def predict(claim: str, path: Path, weights: Path, out: Path, *,
                threshold: Annotated[float, "Least score of a box that is drawn."] = 0.5) -> Prediction:
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import numpy as np

from fuxian.errors import InputError
from fuxian.paper import Claim, Paper
from fuxian.papers.weights_entries import weights_of
from fuxian.recipe import Batch, Recipe
from fuxian.source_file import load_module, mistakes_in

if TYPE_CHECKING:
    from fuxian.training.evaluate import Evaluation

PAPERS = Path(__file__).parent
"""The folder of the papers that Fuxian has reproduced."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a paper's ``predict`` found on a user's data. It has written its files into the folder ``out``.

    Everything in ``rows`` and ``about`` becomes JSON: strings, numbers, bools, None, paths, numpy numbers and arrays,
    and lists and dicts of these.
    """

    rows: list[dict[str, Any]]
    """One for each thing predicted, with the same keys in each: a picture with its boxes (detection), its polygons
    (text), its mask's file (segmentation); a video; a pair of faces with its score; a user and an item with the
    score. The terminal shows numbers and strings as a table and counts lists; ``--json`` has all."""
    views: list[Path]
    """Files in ``out`` that a person opens, the most telling first: the picture with its boxes or polygons drawn, the
    cut-out, the video, the contact sheet, the ROC, an HTML table. At least one."""
    about: dict[str, Any] = field(default_factory=dict)
    """What holds for all rows: a threshold, the classes' names."""


@dataclass(frozen=True, kw_only=True)
class ExportedInput:
    """One input of an exported network, as whoever calls it must prepare it."""

    name: str
    dtype: str
    """As numpy names it: float32, int64."""
    shape: tuple[int | str, ...]
    """A string names a free dimension, as in ``("batch", 3, "height", "width")``; two free dimensions of one name are
    of one size."""
    preprocessing: str
    """From the raw thing to the tensor, in words and numbers: colour order, scale, mean, deviation, resizing,
    padding, what an index means."""


@dataclass(frozen=True, kw_only=True)
class ExportedOutput:
    """One output of an exported network."""

    name: str
    shape: tuple[int | str, ...]
    meaning: str
    """Units, order of the classes, what is still to be done (a sigmoid, a threshold, scaling of boxes)."""
    labels: tuple[str, ...] = ()
    """The names of the classes in the order of the last dimension, where it is one of classes."""


@dataclass(frozen=True, kw_only=True)
class ExportedNetwork:
    """What a paper's ``export`` gives; Fuxian writes it, loads it again and compares (see ``papers/exporting.py``)."""

    network: Any
    """A ``paddle.nn.Layer`` in evaluation mode, whose forward takes the inputs in order and that
    ``paddle.jit.to_static`` can trace."""
    inputs: tuple[ExportedInput, ...]
    outputs: tuple[ExportedOutput, ...]
    examples: tuple[np.ndarray, ...]
    """An array for each input, at least two examples long where the batch is free: real data or the task's own."""
    expected: tuple[np.ndarray, ...]
    """What ``predict`` computes from ``examples``: an array for each output."""
    about: dict[str, Any] = field(default_factory=dict)
    """More for the description beside the model: anything that becomes JSON."""
    onnx_one_at_a_time: str = ""
    """Which operator keeps the network from taking a batch in ONNX, a clause; empty where none does."""


@dataclass(frozen=True)
class PaperFolder:
    """A paper's folder with its parts. A method whose part is absent raises InputError with one sentence."""

    paper: Paper

    @property
    def name(self) -> str:
        """How commands name it: the id of one of Fuxian's own, else the folder."""
        return self.paper.id if self.is_own else str(self.paper.folder)

    @property
    def is_own(self) -> bool:
        """Whether it is one of Fuxian's own."""
        return self.paper.folder.resolve().parent == PAPERS

    def recipe(
        self,
        claim: Claim,
        *,
        seed: int = 0,
        iterations: int = 1,
        eval_split: str = "test",
        settings: Mapping[str, Any] | None = None,
    ) -> Recipe:
        """The recipe of a claim, evaluated on the ``eval_split`` "validation" or "test".

        ``settings`` are the recipe's own keyword parameters. Raises InputError for unknown ones.
        """
        self.check_settings(settings or {})
        make = self._function("recipe", "recipe", ("claim",))
        with mistakes_in(self.paper.folder / "recipe.py"):
            made = make(claim.id, seed=seed, iterations=iterations, eval_split=eval_split, **(settings or {}))
        return self._checked(made, "recipe.py")

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Raises InputError where the recipe has no such setting, or the value is not of its kind."""
        make = self._function("recipe", "recipe", ("claim",))
        known = dict(inspect.signature(make, eval_str=True).parameters)
        free = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
        for name in ("claim", "seed", "iterations", "eval_split"):
            known.pop(name, None)
        for name, value in settings.items():
            if name not in known:
                if free:
                    continue
                own = ", ".join(sorted(known)) or "none"
                raise InputError(f"{self.name}: the recipe has no setting {name!r}; it has: {own}.")
            fitting = _fitting(known[name], value)
            if fitting:
                raise InputError(f"{self.name}: the setting {name} is {fitting}, and {value!r} is not.")

    @property
    def align_entries(self) -> tuple[str, ...]:
        """What ``aligned`` and ``reference`` can be asked for."""
        ids = tuple(claim.id for claim in self.paper.claims)
        return tuple(getattr(self._module("recipe"), "ALIGN_ENTRIES", ids))

    def aligned(self, entry: str) -> Recipe:
        """The port's recipe that ``fuxian align`` runs."""
        return self._aligned("recipe", entry)

    def reference(self, entry: str) -> Recipe | Path:
        """The reference: a recipe where PyTorch is installed and one is there, else the folder of its recording."""
        if "reference" in self.absent:
            raise InputError(self.absent["reference"])
        recorded = self.paper.folder / "reference" / "recordings" / entry
        live = (self.paper.folder / "reference" / "recipe.py").is_file()
        if live and importlib.util.find_spec("torch") is not None:
            return self._aligned("reference.recipe", entry)
        if entry in self.align_entries and recorded.is_dir():
            return recorded
        mend = (
            "install PyTorch (pip install torch==2.13.0) to run it" if live else "name a reference's recipe"
        )
        raise InputError(f"{self.name}/{entry}: no reference is recorded; {mend}.")

    def draw(self, claim: Claim, seed: int) -> Iterable[Batch]:
        """The test of a ruling: batches of ``inputs`` and ``targets`` as ``eval_data`` gives them, and ``ids``.

        The same seed draws the same test on any machine, another seed another one: new examples where the paper's
        protocol can make them (episodes, pairs), else a new choice, order or split of what there is. ``ids`` holds a
        string for each unit of the metric (episode, picture, pair, user), different from each other over the whole
        test. Inputs tell nothing of the targets, by their order neither.
        """
        return self._function("draw", "draw", ("claim", "seed"))(claim.id, seed)

    def has_public_labels(self, claim: Claim) -> bool:
        """Whether anyone can look up the targets of the drawn test."""
        return claim.id in getattr(self._module("draw"), "PUBLIC_LABELS", ())

    def predict(
        self, claim: Claim, path: Path, weights: Path, out: Path, options: Mapping[str, Any] | None = None
    ) -> Prediction:
        """Predicts on a user's data and writes files into the existing, empty folder ``out``.

        Args:
            claim: whose model it is.
            path: a picture, folder, video, table, or what else the paper says in ``PATH``.
            weights: a file of the claim's weights.
            out: where the paper writes what there is to look at.
            options: the paper's own, by name.
        """
        made = self._function("predict", "predict", ("claim", "path", "weights", "out"))(
            claim.id, path, weights, out, **(options or {})
        )
        return self._returned(made, Prediction, "predict.py")

    @property
    def predict_path(self) -> str:
        """What the path given to ``predict`` may be, in the paper's words."""
        return inspect.cleandoc(getattr(self._module("predict"), "PATH", ""))

    def export(
        self, claim: Claim, weights: Path, options: Mapping[str, Any] | None = None
    ) -> ExportedNetwork:
        """The claim's network for Paddle Inference; ``options`` are the paper's own, by name."""
        made = self._function("export", "export", ("claim", "weights"))(claim.id, weights, **(options or {}))
        return self._returned(made, ExportedNetwork, "export.py")

    def curves(self, claim: Claim, evaluations: list[Evaluation]) -> dict[str, Any]:
        """Named series for the report, ``{name: {"x", "y", "low", "high", "x_label", "y_label"}}``; {} where the
        paper draws none."""
        if "curves" in self.absent:
            return {}
        return self._function("curves", "curves", ("paper", "claim", "evaluations"))(
            self.paper, claim, evaluations
        )

    def pictures(self, claim: Claim, weights: Path, out: Path) -> None:
        """Draws what the weights predict on the claim's own test into the folder ``out``, where the paper can."""
        if "pictures" not in self.absent:
            out.mkdir(exist_ok=True)
            self._function("pictures", "pictures", ("claim", "weights", "out"))(claim.id, weights, out)

    def weights(self, name: str) -> Path:
        """The file of a claim's trained weights, or of another entry of weights.toml (see ``weights_entries``)."""
        if "weights" in self.absent:
            raise InputError(self.absent["weights"])
        return weights_of(self.paper, name)

    def options(self, part: str) -> Mapping[str, inspect.Parameter]:
        """The paper's own options of ``predict`` or ``export``, their annotations evaluated."""
        function = self._function(part, part, _POSITIONAL[part])
        parameters = inspect.signature(function, eval_str=True).parameters
        return {
            name: parameter
            for name, parameter in parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY
        }

    @cached_property
    def absent(self) -> dict[str, str]:
        """A sentence for each optional part that the folder does not have."""
        return {
            part: sentence.format(name=self.name)
            for part, sentence in ABSENT.items()
            if not (self.paper.folder / _PLACES[part]).exists()
        }

    def _aligned(self, part: str, entry: str) -> Recipe:
        if entry not in self.align_entries:
            raise InputError(f"{self.name} aligns {', '.join(self.align_entries)}, not {entry!r}.")
        module = self._module(part)
        make = getattr(module, "aligned", None) or getattr(module, "recipe", None)
        if make is None:
            raise InputError(f"{module.__file__}: there is neither aligned() nor recipe(); define one.")
        with mistakes_in(Path(module.__file__ or "")):
            made = make(entry)
        return self._checked(made, f"{part.replace('.', '/')}.py")

    def _checked(self, made: Any, file: str) -> Recipe:
        return self._returned(made, Recipe, file)

    def _returned(self, made: Any, wanted: type, file: str) -> Any:
        if not isinstance(made, wanted):
            raise InputError(
                f"{self.paper.folder / file}: {type(made).__name__} was returned; return a {wanted.__module__}."
                f"{wanted.__qualname__}."
            )
        return made

    def _module(self, part: str) -> ModuleType:
        """``recipe``, ``draw``, ..., ``reference.recipe``."""
        if (sentence := self.absent.get(part.partition(".")[0])) is not None:
            raise InputError(sentence)
        file = self.paper.folder.joinpath(*part.split(".")).with_suffix(".py")
        if self.is_own:
            return importlib.import_module(f"fuxian.papers.{self.paper.folder.name}.{part}")
        if not file.is_file():
            raise InputError(f"{file} is missing; write it.")
        return _load_file(file, file.stat().st_mtime_ns)

    def _function(self, part: str, name: str, positional: tuple[str, ...]) -> Callable[..., Any]:
        module = self._module(part)
        function = getattr(module, name, None)
        if not callable(function):
            raise InputError(f"{module.__file__}: there is no function {name}(); define it.")
        parameters = inspect.signature(function).parameters
        given = tuple(
            parameter.name
            for parameter in parameters.values()
            if parameter.kind is not parameter.KEYWORD_ONLY
        )
        if given != positional:
            raise InputError(
                f"{module.__file__}: {name}({', '.join(given)}) takes other parameters than"
                f" {name}({', '.join(positional)}); mend it."
            )
        return function


def _fitting(setting: inspect.Parameter, value: Any) -> str:
    """What a setting must be, in words, where a value is not; its default or its Literal says so."""
    if get_origin(setting.annotation) is Literal:
        allowed = get_args(setting.annotation)
        return "" if value in allowed else f"one of {', '.join(map(str, allowed))}"
    kinds = ((bool, "true or false"), (int, "a whole number"), (float, "a number"), (str, "a text"))
    for kind, words in kinds:
        if isinstance(setting.default, kind):
            fits = isinstance(value, (int, float) if kind is float else kind)
            return "" if fits and (kind is bool or not isinstance(value, bool)) else words
    return ""


@lru_cache(maxsize=256)
def _load_file(file: Path, modified: int) -> ModuleType:
    """The module of a file, loaded once for each of its versions (``modified`` tells them apart)."""
    return load_module(file)


_POSITIONAL = {"predict": ("claim", "path", "weights", "out"), "export": ("claim", "weights")}
_PLACES = {
    "draw": "draw.py",
    "predict": "predict.py",
    "export": "export.py",
    "curves": "curves.py",
    "pictures": "pictures.py",
    "reference": "reference",
    "weights": "weights",
}
ABSENT = {
    "draw": "{name} draws no test (it has no draw.py): a ruling has only its own test split.",
    "predict": "{name} does not predict on other data (it has no predict.py).",
    "export": "{name} does not export its network (it has no export.py).",
    "curves": "{name} adds no curves to the report (it has no curves.py).",
    "pictures": "{name} adds no pictures of predictions to the report (it has no pictures.py).",
    "reference": "{name} has no reference to be aligned with (it has no folder reference/).",
    "weights": "{name} has no trained weights (it has no folder weights/): train some with `fuxian reproduce {name}`"
    " and give them with --weights.",
}
"""What is said where an optional part is not there."""
