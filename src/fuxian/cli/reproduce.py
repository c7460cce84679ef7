"""``fuxian reproduce``, ``train`` and ``evaluate``: the main job and its two halves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from fuxian.cli.options import (
    EXIT_CODES,
    AsJson,
    Device,
    DeviceOption,
    Language,
    LanguageOption,
    PaperClaim,
    Runs,
    complete_claim,
    print_json,
    set_device,
)
from fuxian.cli.progress import progress_bar
from fuxian.errors import InputError
from fuxian.invocation import command
from fuxian.paper import Claim

Seeds = Annotated[
    int | None, typer.Option(help="How many runs, each with its own seed; the claim's own if absent.")
]
Quick = Annotated[
    bool,
    typer.Option("--quick", help="A smoke run of half a minute or more, by paper; it rules on no claim."),
]
Iterations = Annotated[int | None, typer.Option(min=1, help="Stop after so many; the claim's own if absent.")]
Reproducible = Annotated[
    bool,
    typer.Option(
        "--reproducible",
        help="Train with the same bits on every processor, so that a replay is exact.",
    ),
]
Workers = Annotated[
    int, typer.Option(min=0, help="Processes that draw the batches ahead; any number gives the same result.")
]
Processes = Annotated[
    int | None,
    typer.Option(min=1, help="How many processes share each batch, by Paddle's launcher; one if absent."),
]
Set = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Another setting of the recipe; the run then rules on no claim."
    ),
]
Resume = Annotated[Path | None, typer.Option(help="Go on with this run folder from its newest checkpoint.")]
Name = Annotated[
    str | None,
    typer.Argument(
        metavar="PAPER[/CLAIM]|DIR",
        help="As `fuxian papers` lists them, or a folder of yours.",
        autocompletion=complete_claim,
    ),
]


def reproduce(
    name: Name = None,
    seeds: Seeds = None,
    quick: Quick = False,
    iterations: Iterations = None,
    resume: Resume = None,
    reproducible: Reproducible = False,
    settings: Set = [],  # noqa: B006 - Typer's way
    workers: Workers = 0,
    processes: Processes = None,
    device: DeviceOption = Device.cpu,
    out: Runs = Path("runs"),
    lang: LanguageOption = Language.en,
    as_json: AsJson = False,
) -> None:
    """Train, evaluate, rule on the claim and write a report.

    Example: fuxian reproduce maml/sinusoid-10shot --seeds 3
    """
    plan, run = _plan_and_run(
        name, seeds, quick, iterations, resume, reproducible, settings, processes, device, out
    )
    from fuxian.papers import reproduction

    try:
        with progress_bar() as progress:
            document = reproduction.run_plan(plan, run, lang.value, progress, workers=workers)
    except KeyboardInterrupt:
        _say_how_to_go_on("reproduce", reproduction.reached(plan, run), run)
        raise
    _finish(plan.paper, document, lang, as_json)


def train(
    name: Name = None,
    seeds: Seeds = None,
    quick: Quick = False,
    iterations: Iterations = None,
    resume: Resume = None,
    reproducible: Reproducible = False,
    settings: Set = [],  # noqa: B006 - Typer's way
    workers: Workers = 0,
    processes: Processes = None,
    device: DeviceOption = Device.cpu,
    out: Runs = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Train only; `fuxian evaluate PAPER/CLAIM --run RUN` rules on the result.

    Example: fuxian train maml/omniglot-5way-1shot --iterations 1000
    """
    plan, run = _plan_and_run(
        name, seeds, quick, iterations, resume, reproducible, settings, processes, device, out
    )
    from fuxian.papers import reproduction

    try:
        with progress_bar() as progress:
            weights = reproduction.train(plan, run, progress, workers=workers)
    except KeyboardInterrupt:
        _say_how_to_go_on("train", reproduction.reached(plan, run), run)
        raise
    files = {str(seed): str(file) for seed, file in weights.items()}
    if as_json:
        print_json({"paper": plan.paper.id, "claim": plan.claim.id, "run": str(run), "weights": files})
    else:
        Console().print(f"Trained: {run}", markup=False, soft_wrap=True)


def evaluate(
    name: PaperClaim,
    weights: Annotated[
        Path | None, typer.Option(help="A file of weights; the committed ones if absent.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Evaluate the runs in this folder instead.")] = None,
    device: DeviceOption = Device.cpu,
    out: Runs = Path("runs"),
    lang: LanguageOption = Language.en,
    as_json: AsJson = False,
) -> None:
    """Evaluate trained weights on the test split, rule on the claim and write a report.

    Example: fuxian evaluate maml/omniglot-5way-1shot
    """
    from fuxian.papers import reproduction
    from fuxian.papers.find import find_claim

    folder, claim = find_claim(name)
    set_device(device)
    with progress_bar() as progress:
        if run is None:
            document = reproduction.evaluate_weights(folder, claim, weights, out, lang.value, progress)
        else:
            if weights is not None:
                raise InputError("--weights and --run both say what to evaluate; give one of them.")
            plan = reproduction.read_plan(run)
            if (plan.paper.id, plan.claim.id) != (folder.paper.id, claim.id):
                raise InputError(
                    f"{run} is a run of {plan.paper.id}/{plan.claim.id}, not of {folder.paper.id}/{claim.id}; name"
                    " that one."
                )
            files = reproduction.trained_weights(plan, run)
            document = reproduction.rule_on_run(plan, run, files, lang.value, progress)
    _finish(folder.paper, document, lang, as_json)


def _plan_and_run(
    name: str | None,
    seeds: int | None,
    quick: bool,
    iterations: int | None,
    resume: Path | None,
    reproducible: bool,
    settings: list[str],
    processes: int | None,
    device: Device,
    out: Path,
) -> tuple[Any, Path]:
    from fuxian.training import numeric_mode

    # Before anything imports Paddle.
    if resume is not None:
        numeric_mode.follow(resume)
    if reproducible:
        numeric_mode.make_portable()
    from fuxian.papers import reproduction
    from fuxian.papers.find import find_claim

    if resume is not None:
        if seeds or quick or iterations or reproducible or settings or processes:
            raise InputError(
                "--resume goes on with the run's own plan; leave --seeds, --quick, --iterations, --reproducible,"
                " --processes and --set out."
            )
        plan = reproduction.read_plan(resume)
        named = find_claim(name) if name is not None else (plan.folder, plan.claim)
        if (named[0].paper.id, named[1].id if "/" in str(name) else plan.claim.id) != (
            plan.paper.id,
            plan.claim.id,
        ):
            raise InputError(
                f"{resume} is a run of {plan.paper.id}/{plan.claim.id}, not of {name}; name that one."
            )
        set_device(Device(plan.device))
        return plan, resume
    if name is None:
        raise InputError("no paper was named; give PAPER/CLAIM (see `fuxian papers`) or --resume RUN.")
    set_device(device)
    folder, claim = find_claim(name)
    plan = reproduction.plan_run(
        folder,
        claim,
        seeds=seeds,
        quick=quick,
        iterations=iterations,
        device=device.value,
        settings=reproduction.parse_settings(settings),
        processes=processes or 1,
    )
    run = reproduction.start_run(folder.paper, claim, out, plan.as_dict())
    if not quick:
        _say_what_to_expect(claim, len(plan.seeds))
    return plan, run


def _say_what_to_expect(claim: Claim, seeds: int) -> None:
    """The margin with its reason and the planned power, before anything is trained."""
    from fuxian.verdict import planned

    plan, console = planned(claim, seeds=seeds), Console(stderr=True)
    power = "unknown" if plan.power is None else f"{plan.power:.0%}"
    lines = [
        f"Margin {claim.show(claim.margin)}: {claim.margin_reason}",
        f"Planned power {power}: {plan.basis}",
        *(f"Warning: {warning}." for warning in plan.warnings),
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _say_how_to_go_on(name: str, reached: str, run: Path) -> None:
    again = command(name, "--resume", run)
    Console(stderr=True).print(f"Go on from {reached}, with: {again}", markup=False, soft_wrap=True)


def _finish(paper: Any, document: dict[str, Any], lang: Language, as_json: bool) -> None:
    from fuxian.report.terminal import print_verdicts

    console = Console(stderr=as_json)
    print_verdicts(console, [(paper, document)], lang.value)
    console.print(f"Report: {document['report']}", markup=False, soft_wrap=True)
    if as_json:
        print_json(document)
    raise typer.Exit(EXIT_CODES[document["verdict"]])
