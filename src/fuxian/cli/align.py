"""``fuxian align``: prove that a port equals its reference, or name where and why it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.status import Status

from fuxian.align.stage_names import STAGES
from fuxian.cli.options import AsJson, print_json, print_json_line
from fuxian.errors import InputError
from fuxian.events import Progress
from fuxian.recipe import Recipe

if TYPE_CHECKING:
    from fuxian.align.alignment import Alignment
    from fuxian.align.mend import Mend
    from fuxian.weights import Overrides

app = typer.Typer(no_args_is_help=True)

EXIT_CODES = {"aligned": 0, "diverged": 1, "inconclusive": 3}
Report = Annotated[Path | None, typer.Option(help="Also write one self-contained HTML file here.")]
MendFile = Annotated[
    Path | None,
    typer.Option(
        "--mend",
        help="Write here, as a diff, the change of the port's source that makes the diverging stage agree. It is run on"
        " a copy first, and sought for a proven cause only.",
    ),
]
Stages = Annotated[str | None, typer.Option(help=f"Only these, with commas between: {', '.join(STAGES)}.")]
Oracle = Annotated[
    bool,
    typer.Option(
        help="Run a second precision, to tell rounding from mistakes; without it, fixed tolerances."
    ),
]


Map = Annotated[
    Path | None,
    typer.Option("--map", help="A mapping file: weights that belong together, as `fuxian weights` reads it."),
]


class Precision(StrEnum):
    float64 = "float64"
    float32 = "float32"


Dtype = Annotated[
    Precision | None, typer.Option(help="Precision of the run: float64, or that of the recording given.")
]


Processes = Annotated[
    int | None,
    typer.Option(
        min=2,
        help="Run the port on so many processes, each on its share of the batch, and REFERENCE (usually the same"
        " port) on one.",
    ),
]


@app.callback()
def align() -> None:
    """Prove that a port equals its reference, or name where and why it does not."""


@app.command()
def run(
    port: Annotated[
        str,
        typer.Argument(
            help="A recipe file, module:attribute, PAPER or PAPER/CLAIM of ours, or a folder of yours."
        ),
    ],
    reference: Annotated[
        str | None,
        typer.Argument(
            help="A recipe file, module:attribute, or a folder `record` wrote. A paper has one of its own: live"
            " where PyTorch is installed, else as recorded."
        ),
    ] = None,
    stages: Stages = None,
    dtype: Dtype = None,
    oracle: Oracle = True,
    mapping: Map = None,
    processes: Processes = None,
    mend: MendFile = None,
    report: Report = None,
    as_json: AsJson = False,
) -> None:
    """Run port and reference on the same weights and batches and compare them stage by stage.

    Exit code: 0 aligned, 1 diverged, 3 cannot tell.

    Example: fuxian align run port.py reference.py --report align.html
    """
    from fuxian.align import align
    from fuxian.weights import load_overrides

    if processes is not None:
        if dtype is not None or mapping is not None or mend is not None or not oracle:
            raise InputError(
                "--processes runs one Paddle recipe in float64 on its own weights: leave out --dtype, --map, --mend and"
                " --no-oracle."
            )
        from fuxian.align.processes.alignment import align_processes

        with _waiting("running one process, then several") as waiting:
            _show(
                align_processes(
                    port,
                    reference or port,
                    processes,
                    stages=_stages(stages),
                    progress=Progress(lambda event: waiting.update(event.command)),
                ),
                report,
                as_json,
            )
    overrides = load_overrides(mapping) if mapping is not None else None
    ours, theirs = (port, reference) if reference is not None else _of_paper(port)
    if mend is not None and not mend.resolve().parent.is_dir():
        raise InputError(f"--mend {mend}: the folder {mend.parent} does not exist; make it first.")
    chosen = _stages(stages)
    with _waiting("running both sides") as waiting, TemporaryDirectory(prefix="fuxian-align-") as kept:
        alignment = align(
            ours,
            theirs,
            stages=chosen,
            dtype=dtype and dtype.value,
            oracle=oracle,
            overrides=overrides,
            folder=kept,
            listener=lambda event: waiting.update(event.command),
        )
        if mend is not None:
            waiting.update("running changes of the port")
            alignment.mend = _mended(mend, port, alignment, chosen, overrides)
    _show(alignment, report, as_json)


def _mended(
    file: Path, port: str, alignment: Alignment, stages: Sequence[str], overrides: Overrides | None
) -> Mend:
    """The mend, written where one was found; a file that is there already is kept where there is none."""
    from fuxian.align.mend import mend

    made = mend(port, alignment, stages=stages, overrides=overrides)
    if not made.diff:
        return made
    file.write_text(made.diff, encoding="utf-8")
    return replace(made, path=file)


def _of_paper(name: str) -> tuple[Recipe, Recipe | str]:
    """The port and reference of PAPER/ENTRY or DIR. Raises InputError for any other name."""
    if ":" in name or name.endswith(".py"):
        raise InputError(f"{name}: name the reference too; only a paper's folder has one of its own.")
    from fuxian.papers.find import find_entry

    folder, entry = find_entry(name)
    reference = folder.reference(entry)
    return folder.aligned(entry), reference if isinstance(reference, Recipe) else str(reference)


@app.command()
def watch(
    port: Annotated[str, typer.Argument(help="The port's recipe file.")],
    reference: Annotated[
        str, typer.Argument(help="The reference's recipe file, or a folder `record` wrote.")
    ],
    stages: Stages = None,
    dtype: Dtype = None,
    oracle: Oracle = True,
    mapping: Map = None,
    as_json: AsJson = False,
) -> None:
    """Align now, and again each time the port is saved, until Ctrl-C; with --json, one document a line.

    The frameworks stay imported and the reference stays recorded, so that a run takes what the port's own passes take.

    Example: fuxian align watch port.py reference.py --stages forward,backward
    """
    from fuxian.cli.watching import Watched
    from fuxian.cli.watching import watch as keep_watching

    def show(alignment: Alignment) -> int:
        if as_json:
            print_json_line(alignment.as_dict())
            return EXIT_CODES[alignment.verdict]
        from fuxian.align.terminal import show

        show(alignment, Console())
        return EXIT_CODES[alignment.verdict]

    def tell(problem: str) -> None:
        typer.echo(f"fuxian: {problem}", err=True)
        if as_json:
            print_json_line({"error": problem})

    settings = (_stages(stages), dtype and dtype.value, oracle, mapping)
    raise typer.Exit(keep_watching(Watched(port, reference, *settings, show, tell)))


@app.command()
def record(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or module:attribute.")],
    out: Annotated[Path, typer.Argument(help="A new folder for the recording.")],
    inputs: Annotated[
        Path | None, typer.Option(help="The reference's recording, to record a port on it.")
    ] = None,
    stages: Stages = None,
    dtype: Dtype = None,
    oracle: Oracle = True,
    small: Annotated[
        bool, typer.Option(help="Sketches of large tensors only, small enough to commit.")
    ] = False,
    mapping: Map = None,
    as_json: AsJson = False,
) -> None:
    """Record what a reference does, or what a port does on a reference's weights and batches.

    Example: fuxian align record reference.py recordings/reference
    """
    from fuxian.align.record import record as write
    from fuxian.align.recording import Recording
    from fuxian.recipe import load_recipe
    from fuxian.weights import load_overrides

    if mapping is not None and inputs is None:
        raise InputError("--map pairs a port's weights with a reference's; give the reference as --inputs.")
    with _waiting("recording"):
        write(
            load_recipe(recipe),
            out,
            inputs=Recording(inputs) if inputs is not None else None,
            stages=_stages(stages),
            dtype=dtype and dtype.value,
            oracle=oracle,
            small=small,
            source=recipe,
            overrides=load_overrides(mapping) if mapping is not None else None,
        )
    size = sum(file.stat().st_size for file in out.iterdir())
    if as_json:
        print_json({"recording": out, "bytes": size, "dtype": Recording(out).data["dtype"]})
    else:
        Console(stderr=True).print(f"recorded in {out} ({size / 1e6:.1f} MB)")


@app.command()
def compare(
    port: Annotated[Path, typer.Argument(help="The recording made with --inputs.")],
    reference: Annotated[Path, typer.Argument(help="The reference's recording.")],
    report: Report = None,
    as_json: AsJson = False,
) -> None:
    """Compare two recordings; neither framework needs to be installed.

    Which of the two is the port's is read from the recordings.

    Example: fuxian align compare recordings/port recordings/reference
    """
    from fuxian.align.alignment import compare_recordings
    from fuxian.align.recording import Recording

    pair = [Recording(port), Recording(reference)]
    if pair[0].data.get("weights_from") == "own" and pair[1].data.get("weights_from") != "own":
        pair.reverse()
    _show(compare_recordings(*pair), report, as_json)


@app.command("export-log")
def export_log(
    out: Annotated[Path, typer.Argument(help="A folder for the .npy files and diff logs.")],
    port: Annotated[Path, typer.Option(help="The port's recording.")],
    reference: Annotated[Path, typer.Option(help="The reference's recording.")],
    as_json: AsJson = False,
) -> None:
    """Write the official guide's files: forward, metric, loss, bp_align and train_align, with their diff logs.

    Example: fuxian align export-log log_reprod --port recordings/port --reference recordings/reference
    """
    from fuxian.align.logs import export
    from fuxian.align.recording import Recording

    written = export(Recording(port), Recording(reference), out)
    if as_json:
        print_json({"written": written})
        return
    for path in written:
        outcome = f": {path.read_text(encoding='utf-8').splitlines()[-1]}" if path.suffix == ".log" else ""
        typer.echo(f"{path}{outcome}")


@app.command("import-log")
def import_log(
    port: Annotated[Path, typer.Argument(help="The port's .npy as reprod_log wrote it.")],
    reference: Annotated[Path, typer.Argument(help="The reference's.")],
    tolerance: Annotated[
        float, typer.Option(help="Largest error allowed, relative to the largest element.")
    ] = 1e-6,
    as_json: AsJson = False,
) -> None:
    """Compare two files of reprod_log element by element. No code in them is run.

    Example: fuxian align import-log forward_paddle.npy forward_torch.npy
    """
    from fuxian.align.logs import compare_logs

    result = compare_logs(port, reference, tolerance)
    if as_json:
        print_json(result)
    else:
        for entry in result["tensors"]:
            verdict = "agrees" if entry["agrees"] else f"DIFFERS {entry['problem']}"
            error = float(entry["error"])
            typer.echo(f"{entry['name']}: {verdict} (error {error:.3g}, allowed {entry['tolerance']:.3g})")
        typer.echo(result["verdict"])
    raise typer.Exit(EXIT_CODES[result["verdict"]])


def _stages(text: str | None) -> tuple[str, ...]:
    if text is None:
        return STAGES
    chosen = tuple(part.strip() for part in text.split(",") if part.strip())
    unknown = [stage for stage in chosen if stage not in STAGES]
    if unknown or not chosen:
        raise InputError(f"--stages {text}: the stages are {', '.join(STAGES)}.")
    return chosen


def _waiting(what: str) -> Status:
    """A sign of life on a terminal; nothing elsewhere."""
    return Console(stderr=True).status(what)


def _show(alignment, report: Path | None, as_json: bool) -> None:  # type: ignore[no-untyped-def]
    from fuxian.align.terminal import show

    if report is not None:
        from fuxian.align.report import write_report

        write_report(alignment, report)
        Console(stderr=True).print(f"report: {report}")
    if as_json:
        print_json(alignment.as_dict())
    else:
        show(alignment, Console())
    raise typer.Exit(EXIT_CODES[alignment.verdict])
