import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from fuxian.errors import InputError
from fuxian.paper import Paper
from fuxian.papers.find import reproduced_papers
from fuxian.report.terminal import print_papers, print_verdicts

EXAMPLES = (1.0,) * 585 + (0.8,) * 10 + (0.0,) * 5


def shown(draw: Callable[..., None], *args: object, width: int = 80) -> str:
    stream = io.StringIO()
    draw(Console(file=stream, width=width), *args)
    return stream.getvalue().replace("\u00a0", " ")


def document(folder: Path) -> dict:
    return json.loads((folder / "verdict.json").read_text())


def test_a_verdict_table_fits_80_columns(paper: Paper, make_run: Callable[..., Path]) -> None:
    runs = [make_run(), make_run("omniglot-5way-1shot", EXAMPLES), make_run("omniglot-small", EXAMPLES)]
    text = shown(print_verdicts, [(paper, document(run)) for run in runs])
    for part in (
        "sinusoid-10shot",
        "omniglot-5way-1shot",
        "98.70",
        "± 0.40",
        "600 test examples",
        "3 seeds",
        "Accepted",
    ):
        assert part in text
    assert "…" not in text
    assert "bound" in text, "the reason stands below the table"


def test_a_scaled_claim_is_not_shown_beside_the_papers_figure(
    paper: Paper, make_run: Callable[..., Path]
) -> None:
    verdict = document(make_run("omniglot-small", EXAMPLES)) | {"published": 0.987}
    text = shown(print_verdicts, [(paper, verdict)])
    assert "98.7" not in text
    assert "scaled down" in text
    verdict = document(make_run("omniglot-5way-1shot", EXAMPLES)) | {"scope": "scaled"}
    with pytest.raises(InputError, match="says its scope is 'scaled'"):
        shown(print_verdicts, [(paper, verdict)])


def test_papers_show_the_last_verdict_or_none(paper: Paper, make_run: Callable[..., Path]) -> None:
    verdicts = {"maml/sinusoid-10shot": document(make_run())}
    text = shown(print_papers, [paper], verdicts, width=120)
    assert text.count("Not ruled on") == 3
    assert "Sinusoid regression" in text
    assert shown(print_papers, [paper], {}, "zh").count("未判定") == 4
    assert "no paper" in shown(print_papers, [], {})


def test_no_title_is_cut_off() -> None:
    """Neither where words are long, nor in Chinese, which has no spaces to break lines at."""
    papers = [folder.paper for folder in reproduced_papers()]
    for lang in ("en", "zh"):
        assert "…" not in shown(print_papers, papers, {}, lang)


def test_markup_in_a_verdict_is_only_text(paper: Paper, make_run: Callable[..., Path]) -> None:
    verdict = document(make_run()) | {"reason": "[bold]loud[/bold] [/wrong]"}
    assert "[bold]loud[/bold] [/wrong]" in shown(print_verdicts, [(paper, verdict)])


def test_a_malformed_verdict_is_bad_input(paper: Paper) -> None:
    with pytest.raises(InputError, match="the verdict on"):
        print_verdicts(Console(file=io.StringIO()), [(paper, {"verdict": "fine"})])


def test_tables_need_no_plotting_library() -> None:
    code = "import sys, fuxian.report.terminal; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
