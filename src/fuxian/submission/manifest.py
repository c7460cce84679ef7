"""The manifest of a submission, ``fuxian.toml``: what is claimed, and how it is trained, evaluated and read.

Any repository whose evaluation is a command can be described without changing its code:

    claims = ["imagenet-top1"]
    licence = "Apache-2.0"
    checkpoint = "weights/best.pdparams"

    [paper]
    id = "mixer"
    ...                              # as in a paper.toml, and [[claim]] as there
    [commands]
    train = { run = ["python", "train.py", "--seed", "{seed}"], minutes = 600 }
    evaluate = ["python", "eval.py", "--weights", "{checkpoint}"]
    [metric]
    pattern = 'top1 acc: (?P<accuracy>[0-9.]+)'
    scale = 0.01

A repository of Fuxian recipes needs three lines; ``recipe`` fills the commands, the metric, the log and the
checkpoint:

    paper = "paper.toml"
    claims = ["waveforms"]
    recipe = "recipe.py"

Under [commands], ``export = []`` takes a filled-in command out again.

Arguments may hold placeholders, replaced before a command runs: see ``PLACEHOLDERS``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from fuxian import paper as paper_files
from fuxian.errors import InputError, Malformed
from fuxian.paper import Claim, Identifier, Paper, Seed, Text, load_paper, with_recorded_runs
from fuxian.submission.output_pattern import check_log_pattern, check_pattern
from fuxian.toml_files import TomlFile, in_words, load_toml
from fuxian.untrusted import parsed

FILE_NAME = "fuxian.toml"
PLACEHOLDERS = {
    "{out}": "a new, empty, writable folder for what the command makes",
    "{claim}": "the id of the claim",
    "{seed}": "the seed of the training",
    "{steps}": "how many training steps to make",
    "{checkpoint}": "the file of trained weights",
    "{exported}": "the folder that `export` wrote to",
    "{inputs}": "a folder of drawn batches to predict on (0000.npz and so on); empty: the test split",
}
LONGEST_ARGUMENT = 4096
SECONDS = 8.0
"""That a manifest may take to be read; an honest one takes hundredths of it."""
LONGEST_PATH = 1024

CommandName = Literal["train", "evaluate", "predict", "export", "infer"]
USUAL_MINUTES: dict[str, float] = {"train": 24 * 60.0}


def _inside(path: str, info: ValidationInfo) -> str:
    assert info.context is not None  # noqa: S101 - load_manifest gives it
    return path_inside(info.context["folder"], path)


def path_inside(folder: Path, path: str) -> str:
    """The path itself, if it stays in the folder, links followed. Raises ValueError with what to mend."""
    if "\0" in path or path.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", path):
        raise ValueError(f"{path[:60]!r} is not a path within the submission; give a relative one")
    if ".." in path.split("/") or "\\" in path:
        raise ValueError(f"{path[:60]!r} leads out of the submission; keep it inside, and separate with '/'")
    try:
        leads_out = not (folder / path).resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{path[:60]!r} cannot be followed; replace it by a file") from error
    if leads_out:
        raise ValueError(f"{path[:60]!r} is a link that leads out of the submission; replace it by the file")
    return path


def _argument(argument: str) -> str:
    if "\0" in argument:
        raise ValueError("holds a NUL character; remove it")
    return argument


def _as_command(value: Any) -> Any:
    if isinstance(value, str):
        raise ValueError(
            'is one string; give a list of arguments, ["python", "train.py"], for no shell reads it'
        )
    return {"run": value} if isinstance(value, list) else value


RelativePath = Annotated[str, Field(min_length=1, max_length=LONGEST_PATH), AfterValidator(_inside)]
"""A path inside the submission's folder, with '/'; where it leads is checked, links included."""
Argument = Annotated[str, Field(max_length=LONGEST_ARGUMENT), AfterValidator(_argument)]
Arguments = Annotated[tuple[Argument, ...], Field(min_length=1, max_length=200)]
Minutes = Annotated[float, Field(strict=True, gt=0, le=7 * 24 * 60, allow_inf_nan=False)]
Pattern = Annotated[str, AfterValidator(check_pattern)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Environment(_Part):
    """What the commands run in."""

    python: Annotated[str, Field(pattern=r"^3\.\d{1,2}$")] = "3.11"
    requirements: RelativePath = "requirements.txt"


class Command(_Part):
    """One command: a list of arguments, never read by a shell, run in the submission's folder."""

    run: Arguments
    minutes: Minutes | None = None
    """Wall clock limit. None: 24 hours for ``train``, one hour for any other."""
    output: RelativePath | None = None
    """The numbers it writes (.npz, .npy, .json, .csv): under ``{out}`` where an argument names that, else under the
    submission's folder."""


class MetricSource(_Part):
    """How the figure is read: from a measurements.json, else from what ``evaluate`` prints on either stream.

    Neither is needed where evaluate has an ``output`` of figures per example: their mean is the figure.
    """

    file: RelativePath | None = None
    """A measurements.json, placed as ``Command.output`` is."""
    pattern: Pattern | None = None
    """A regular expression with one named group, searched line by line; the last match counts."""
    scale: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)] = 1.0
    """The figure is the printed number times this: 0.01 where an accuracy is printed in per cent."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.file is not None and self.pattern is not None:
            raise ValueError(
                "give file (a measurements.json) or pattern (a regular expression), one of the two"
            )
        return self


class TrainingLogFile(_Part):
    """The log of the training that made the checkpoint."""

    file: RelativePath
    format: Literal["jsonl", "text"] = "text"
    """``jsonl``: a JSON object a line, as Fuxian writes. ``text``: ``name: number`` pairs in lines."""
    names: dict[Literal["step", "epoch", "loss", "reader_cost", "batch_cost", "ips", "metric"], Text] = {}
    """What this log calls a field, where it is not the official name."""
    pattern: Annotated[str, AfterValidator(check_log_pattern)] | None = None
    """For logs without ``name: number`` pairs: a regular expression (RE2) whose named groups are fields, as in
    ``epoch (?P<epoch>\\d+) batch (?P<step>\\d+)/\\d+ loss (?P<loss>[0-9.]+)``."""
    seed: Seed | None = None
    """The seed of that training; without it nothing can be replayed."""
    checkpoints: RelativePath | None = None
    """The folder of the checkpoints that were kept of it (``step_00001000`` and so on), for the chain in the log."""


class ReferenceCommand(_Part):
    """The reference implementation's own evaluation or prediction."""

    run: Arguments
    minutes: Minutes = 60.0
    requirements: RelativePath | None = None
    output: RelativePath | None = None
    pattern: Pattern | None = None
    scale: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)] = 1.0
    weights: RelativePath | None = None
    """The reference's own weights: the checkpoint must not be a conversion of them."""
    recipe: RelativePath | None = None
    """The reference as a recipe, for the alignment."""


class Waiver(_Part):
    """A line of the checklist that does not apply here, and why."""

    id: Identifier
    reason: Annotated[str, Field(min_length=10, max_length=500)]


class Team(_Part):
    """Who submits, for the thread reply, the mails and the system report."""

    name: Text
    number: Text = ""
    """The paper's number in the challenge (序号)."""
    repo: Annotated[str, Field(pattern=r"^(https://[^\s<>\"']+)?$")] = ""
    members: Annotated[tuple[Text, ...], Field(max_length=5)] = ()
    email: str = ""
    aistudio: Annotated[str, Field(pattern=r"^(https://[^\s<>\"']+)?$")] = ""


class Manifest(_Part):
    """A submission's fuxian.toml, whole: defaults filled in, every path inside the folder."""

    folder: Path
    """Where it lies; not a field of the file."""
    paper: Paper
    claims: Annotated[tuple[Identifier, ...], Field(min_length=1)]
    """The ids of the claims that the entrant makes."""
    recipe: RelativePath | None = None
    """A file that defines ``recipe(claim, *, seed, iterations, eval_split)``."""
    licence: Text = "Apache-2.0"
    environment: Environment = Environment()
    commands: dict[CommandName, Annotated[Command, BeforeValidator(_as_command)]]
    metric: MetricSource = MetricSource()
    data: dict[Identifier, RelativePath] = {}
    """Data sets needed, and where the commands look for each (mounted there, read-only)."""
    checkpoint: RelativePath | None = None
    log: TrainingLogFile | None = None
    reference: ReferenceCommand | None = None
    team: Team | None = None
    waive: tuple[Waiver, ...] = ()

    @field_validator("claims")
    @classmethod
    def _claims_exist(cls, claims: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "paper" in info.data:
            known = [claim.id for claim in info.data["paper"].claims]
            for name in claims:
                if name not in known:
                    raise ValueError(f"the paper has no claim {name!r}; it has: {', '.join(known)}")
        return claims

    @field_validator("commands")
    @classmethod
    def _can_be_evaluated(cls, commands: dict[str, Command]) -> dict[str, Command]:
        if "evaluate" not in commands:
            raise ValueError("evaluate is missing; without it there is nothing to verify")
        return commands

    @model_validator(mode="after")
    def _has_a_figure(self) -> Self:
        metric = self.metric
        if metric.file is None and metric.pattern is None and self.commands["evaluate"].output is None:
            raise ValueError(
                "nothing says where the figure is read; give [metric] with file or pattern, or evaluate an output"
            )
        return self

    def claim(self, id: str | None = None) -> Claim:
        """A claim that the entrant makes; the first without ``id``. Raises InputError for another id."""
        if id is not None and id not in self.claims:
            raise InputError(
                f"{self.folder}: claims {', '.join(self.claims)}, not {id!r}; name one of these."
            )
        return self.paper.claim(id or self.claims[0])

    def checkpoint_of(self, claim: Claim) -> str | None:
        """The claim's checkpoint, relative to the folder."""
        return self._of_claim(self.checkpoint, claim)

    def log_of(self, claim: Claim) -> str | None:
        """The claim's training log, relative to the folder."""
        return self._of_claim(self.log.file if self.log else None, claim)

    def checkpoints_of(self, claim: Claim) -> str | None:
        """The folder of the claim's kept checkpoints, relative to the folder."""
        return self._of_claim(self.log.checkpoints if self.log else None, claim)

    def _of_claim(self, path: str | None, claim: Claim) -> str | None:
        if path is None:
            return None
        try:
            return path_inside(self.folder, path.replace("{claim}", claim.id))
        except ValueError as error:
            raise InputError(f"{self.folder / FILE_NAME}: {error}.") from error

    def arguments(
        self,
        name: CommandName,
        *,
        out: str,
        claim: str | None = None,
        seed: int | None = None,
        steps: int | None = None,
        checkpoint: str | None = None,
        exported: str = "",
        inputs: str = "",
    ) -> list[str]:
        """The command's arguments with its placeholders replaced.

        Default seed: the log's, else the claim's first. Default steps: the claim's. Raises InputError where the
        manifest has no such command.
        """
        if name not in self.commands:
            raise InputError(
                f"{self.folder / FILE_NAME}: there is no command {name!r}; add it under [commands]."
            )
        about = self.claim(claim)
        if seed is None:
            seed = self.log.seed if self.log and self.log.seed is not None else about.seeds[0]
        values = {
            "{out}": out,
            "{claim}": about.id,
            "{seed}": str(seed),
            "{steps}": str(about.iterations if steps is None else steps),
            "{checkpoint}": checkpoint or self.checkpoint_of(about) or "",
            "{exported}": exported,
            "{inputs}": inputs,
        }
        known = re.compile("|".join(map(re.escape, values)))
        return [known.sub(lambda found: values[found.group()], text) for text in self.commands[name].run]

    def seconds(self, name: CommandName) -> float:
        """The command's wall clock limit."""
        minutes = self.commands[name].minutes
        return 60.0 * (USUAL_MINUTES.get(name, 60.0) if minutes is None else minutes)


def load_manifest(folder: Path) -> Manifest:
    """The manifest of a submission's folder, parsed in a child process.

    Raises InputError, naming file, line and field, for anything that is missing, unknown or leads out of the folder,
    and Malformed for bytes that take too long or too much memory.
    """
    document = parsed(_document, folder, what=str(folder / FILE_NAME), seconds=SECONDS)
    try:
        return Manifest.model_validate(document, context={"folder": folder})
    except ValidationError as error:
        # It was valid when it was read: a path of it has changed since.
        first = error.errors(include_url=False)[0]
        raise Malformed(f"{folder / FILE_NAME}: {in_words(first)}.") from error


def _document(folder: Path) -> dict[str, Any]:
    return read_manifest(folder).model_dump(mode="json", by_alias=True)


def missing(folder: Path) -> str:
    """The sentence for a folder that has no manifest."""
    return f"{folder}: there is no {FILE_NAME}; `fuxian describe {folder}` writes one to fill in."


def read_manifest(folder: Path) -> Manifest:
    """As ``load_manifest``, in this very process: for the commands of a submission, which judge nobody else's."""
    file = folder / FILE_NAME
    if file.is_symlink():
        raise InputError(f"{file}: this is a link; put the file itself there.")
    if folder.is_dir() and not file.exists():
        raise InputError(missing(folder))
    toml = load_toml(file, "a submission's fuxian.toml")
    if "folder" in toml.data:
        raise toml.error(("folder",), "is not a known field; remove it")
    filled = {**toml.data, "paper": _paper(folder, toml), "folder": folder}
    filled.pop("claim", None)
    filled.setdefault("claims", [claim.id for claim in filled["paper"].claims])
    if isinstance(toml.data.get("recipe"), str):
        filled = _with_recipe(toml.data["recipe"], filled)
    try:
        return Manifest.model_validate(filled, context={"folder": folder})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = tuple(part for part in first["loc"] if part != "[key]")
        raise toml.error(place or ("paper",), in_words(first)) from error


def _paper(folder: Path, toml: TomlFile) -> Paper:
    """The paper: a table of the file with [[claim]], a paper.toml of the folder, or one of Fuxian's by id."""
    named = toml.data.get("paper")
    if isinstance(named, dict):
        return _own_paper(folder, toml, named)
    if "claim" in toml.data:
        raise toml.error(
            ("claim",), "needs a [paper] table beside it; write one, or list ids of claims as claims = [...]"
        )
    if not isinstance(named, str):
        raise toml.error(
            ("paper",), "should be an id that `fuxian papers` lists, a paper.toml file, or a table"
        )
    if named.endswith(".toml"):
        try:
            path_inside(folder, named)
        except ValueError as error:
            raise toml.error(("paper",), str(error)) from error
        return load_paper(folder / named)
    known = reproduced_papers()
    if named not in known:
        raise toml.error(
            ("paper",),
            f"{named[:60]!r} is no paper of Fuxian's ({', '.join(sorted(known))}) and no .toml file",
        )
    return load_paper(known[named])


def reproduced_papers() -> dict[str, Path]:
    """The paper.toml of every paper that Fuxian has reproduced, by id.

    Read as files: what is reproduced here is no business of a submission's code.
    """
    found = (Path(paper_files.__file__).parent / "papers").glob("*/paper.toml")
    return {file.parent.name.replace("_", "-"): file for file in found}


def _own_paper(folder: Path, toml: TomlFile, table: dict[str, Any]) -> Paper:
    claims = toml.data.get("claim")
    if not isinstance(claims, list) or not claims:
        raise toml.error(("paper",), "needs at least one [[claim]] table beside it; add what is claimed")
    for field in ("claim", "claims", "folder"):
        if field in table:
            raise toml.error(("paper", field), "is not a known field; remove it")
    try:
        return Paper.model_validate({**table, "claim": with_recorded_runs(toml), "folder": folder})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = first["loc"] if first["loc"][:1] == ("claim",) else ("paper", *first["loc"])
        raise toml.error(place, in_words(first)) from error


def _with_recipe(recipe: str, data: dict[str, Any]) -> dict[str, Any]:
    """The manifest's fields with what a repository of Fuxian recipes need not say."""

    def command(name: str, *arguments: str, output: str | None = None) -> dict[str, Any]:
        start = [
            "python",
            "-P",
            "-m",
            "fuxian.submission.recipe_commands",
            name,
            f"--recipe={recipe}",
            "--claim={claim}",
        ]
        return {"run": [*start, *arguments, "--out={out}"], "output": output}

    weights = "--checkpoint={checkpoint}"
    commands = {
        "train": command("train", "--seed={seed}", "--steps={steps}", output="log.jsonl"),
        "evaluate": command("evaluate", weights, output="measurements.json"),
        "predict": command("predict", weights, "--inputs={inputs}", output="predictions.npz"),
        "export": command("export", weights),
        "infer": command("infer", "--exported={exported}", output="predictions.npz"),
    }
    given = data.get("commands", {})
    paper = data["paper"]
    claims = data["claims"]
    first = claims[0] if isinstance(claims, list) and claims else None
    seeds = next((claim.seeds for claim in paper.claims if claim.id == first), (0,))
    return {
        "metric": {"file": "measurements.json"},
        "checkpoint": "weights/{claim}.safetensors",
        "log": {
            "file": "logs/{claim}.jsonl",
            "format": "jsonl",
            "seed": seeds[0],
            "checkpoints": "checkpoints/{claim}",
        },
        **data,
        "commands": {name: command for name, command in {**commands, **given}.items() if command != []}
        if isinstance(given, dict)
        else given,
    }
