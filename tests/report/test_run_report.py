import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest

from fuxian.errors import InputError
from fuxian.paper import Paper
from fuxian.report.run_report import write_report

MakeRun = Callable[..., Path]
EXAMPLES = (1.0,) * 585 + (0.8,) * 10 + (0.0,) * 5
CURVES = {
    name: {
        "x": [0, 1, 2],
        "y": [3.2, 1.1, y],
        "low": [3, 1, y],
        "high": [3.4, 1.2, y],
        "x_label": "update steps",
        "y_label": "mse",
    }
    for name, y in (("MAML", 0.4), ("first-order", 0.55))
}
VOID = {"meta", "link", "br", "img", "input", "path", "rect", "circle", "use"}


@dataclass
class Page(HTMLParser):
    """What a test asks of a page: its visible text, its tags with attributes, and whether they close."""

    text: str = ""
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    headings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("h1", "h2"):
            self.headings.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data.replace("\u00a0", " ")
        if self.open and self.open[-1] in ("h1", "h2", "a") and self.headings:
            self.headings[-1] += data

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.tags if tag == name]


@pytest.fixture
def report(tmp_path: Path, paper: Paper) -> Callable[..., Page]:
    def write(*runs: Path, lang: str = "en") -> Page:
        out = tmp_path / "report.html"
        write_report(list(runs), out, lang, paper)
        page = Page()
        page.feed(out.read_text(encoding="utf-8"))
        page.close()
        assert page.open == []
        return page

    return write


def change(run: Path, name: str, **fields: object) -> Path:
    path = run / f"{name}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return run


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_page_is_whole_and_accessible(report: Callable[..., Page], make_run: MakeRun, lang: str) -> None:
    page = report(
        make_run(curves=CURVES, log=True), make_run("omniglot-small", EXAMPLES, log=True), lang=lang
    )
    assert page.all("html") == [{"lang": {"en": "en", "zh": "zh-CN"}[lang]}]
    assert len(page.all("h1")) == len(page.all("main")) == 1
    assert page.all("meta")[1]["name"] == "viewport"
    assert len(page.all("caption")) == len(page.all("table")) > 5
    assert all(cell.get("scope") in ("col", "row") for cell in page.all("th"))
    pictures = [attrs for attrs in page.all("div") if attrs.get("role") == "img"]
    assert len(pictures) == len(page.all("figure")) == len(page.all("figcaption")) == 7
    assert all(picture["aria-label"] for picture in pictures)
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {attrs["aria-labelledby"] for attrs in page.all("section")} <= set(ids)


def test_the_page_asks_nothing_of_the_network(report: Callable[..., Page], make_run: MakeRun) -> None:
    page = report(make_run(curves=CURVES))
    assert not {"script", "img", "iframe", "object", "embed", "base"} & {tag for tag, _ in page.tags}
    for tag, attrs in page.tags:
        assert "src" not in attrs and not any(name.startswith("on") for name in attrs)
        for name in ("href", "xlink:href"):
            if tag != "a" and attrs.get(name):
                assert attrs[name].startswith(("#", "data:")), (tag, attrs)  # type: ignore[union-attr]
    links = {attrs["href"] for attrs in page.all("a")}
    assert "https://arxiv.org/abs/1703.03400" in links
    assert "sinusoid-10shot-0/verdict.json" in links
    style = files("fuxian.report").joinpath("templates", "style.css").read_text(encoding="utf-8")
    assert "url(" not in style and "@import" not in style


def test_an_inconclusive_verdict_says_what_is_needed(report: Callable[..., Page], make_run: MakeRun) -> None:
    run = make_run(values=(0.40, 0.43, 0.415))
    needed = json.loads((run / "verdict.json").read_text())["needed"]["seeds"]
    page = report(run)
    assert "? Inconclusive" in page.text
    assert f"About {needed} more seeds would decide." in page.text
    assert "We measured 0.415, with a 95 % confidence interval of [0.378, 0.452], from 3 seeds." in page.text
    assert f"大约还需 {needed} 个随机种子才能得出结论。" in report(run, lang="zh").text
    assert "cannot be said" in report(change(run, "verdict", needed=None)).text


def test_the_margin_is_shown_with_its_reason(report: Callable[..., Page], make_run: MakeRun) -> None:
    assert "Why this margin: a twentieth of the target." in report(make_run()).text
    assert "界值的理由：a twentieth of the target。" in report(make_run(seed=1), lang="zh").text
    silent = report(make_run("sinusoid-reference", (0.40, 0.41, 0.405, 0.40), seed=2)).text
    assert "No reason is stated for the margin." in silent


def test_fewer_runs_than_the_reference_has_are_said(report: Callable[..., Page], make_run: MakeRun) -> None:
    text = report(make_run("sinusoid-reference", (0.380, 0.381, 0.382))).text
    assert "there are fewer runs than the reference has" in text
    assert "About 1 more seed would decide." in text


@pytest.mark.parametrize(
    ("values", "word", "why"),
    [
        ((0.40, 0.405, 0.41), "✓ Accepted", "worse than the target by less than the margin"),
        ((0.60, 0.605, 0.61), "✗ Rejected", "worse than the target by more than the margin"),
        ((0.40,), "? Inconclusive", "do not say how much the figure varies"),
        ((0.40, float("nan")), "? Inconclusive", "because a run failed"),
        ((float("nan"),), "✗ Rejected", "no run finished"),
    ],
)
def test_the_verdict_is_said_in_words_with_its_reason(
    report: Callable[..., Page], make_run: MakeRun, values: tuple[float, ...], word: str, why: str
) -> None:
    text = report(make_run(values=values)).text
    assert word in text
    assert why in text


def test_a_smoke_run_rules_on_nothing_and_draws_no_interval(
    report: Callable[..., Page], make_run: MakeRun
) -> None:
    page = report(
        change(make_run(), "verdict", verdict="smoke", reason="smoke: rules on no claim", needed=None)
    )
    assert "○ Smoke run" in page.text and "rules on no claim" in page.text
    assert not any("Interval plot" in (div.get("aria-label") or "") for div in page.all("div"))


def test_the_papers_figure_stands_beside_ours(report: Callable[..., Page], make_run: MakeRun) -> None:
    run = make_run("omniglot-5way-1shot", EXAMPLES)
    page = report(run)
    assert page.text.count("98.70 ± 0.40 %") == 2
    assert "The paper reports accuracy of 98.70 ± 0.40 % (Table 1)." in page.text
    assert ">Paper<" in (run.parent / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_scaled_claim_is_not_compared_with_the_paper(
    report: Callable[..., Page], make_run: MakeRun, lang: str
) -> None:
    run = change(make_run("omniglot-small", EXAMPLES), "verdict", published=0.987)
    page = report(run, lang=lang)
    assert "98.7" not in page.text and "0.987" not in page.text
    source = (run.parent / "report.html").read_text(encoding="utf-8")
    assert ">Paper<" not in source and ">论文<" not in source
    assert {"en": "not compared", "zh": "不作比较"}[lang] in page.text


@pytest.mark.parametrize("file", ["verdict", "measurements"])
def test_a_scaled_figure_cannot_pass_for_one_of_the_papers_setting(
    report: Callable[..., Page], make_run: MakeRun, file: str
) -> None:
    run = change(make_run("omniglot-5way-1shot", EXAMPLES), file, scope="scaled")
    with pytest.raises(InputError, match=r"says its scope is 'scaled', and paper\.toml says 'paper'"):
        report(run)


@pytest.mark.parametrize("ruled_on", [True, False])
def test_a_target_that_is_recorded_runs_is_said_to_be_one(
    report: Callable[..., Page], make_run: MakeRun, ruled_on: bool
) -> None:
    run = make_run("sinusoid-reference", (0.40, 0.41, 0.405))
    if not ruled_on:
        (run / "verdict.json").unlink()
    page = report(run)
    said = "The target is what the reference implementation reaches: 0.405, the mean of 4 recorded runs"
    assert (said in page.text) is ruled_on
    assert re.search(r"0\.405\s*0\.013\s*–", page.text), "target and margin stand in the table"
    assert (">Reference<" in (run.parent / "report.html").read_text(encoding="utf-8")) is ruled_on


def test_whatever_comes_from_files_is_escaped(report: Callable[..., Page], make_run: MakeRun) -> None:
    hostile = '"><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}$\\frac'
    curve = {"x": [1, 2], "y": [1, 2], "x_label": hostile, "y_label": hostile}
    run = make_run(curves={hostile: curve}, folder="a'><b onclick=x>")
    change(run, "config", command=hostile, **{hostile: hostile})
    change(run, "environment", **{hostile: {hostile: hostile}, "git": {"commit": "x; rm -rf ~"}})
    change(run, "measurements", figures={hostile: 1.0})
    change(run, "verdict", reason=hostile, method=hostile)
    with (run / "log.jsonl").open("a") as log:
        log.write(json.dumps({"step": 3000, "eval": {hostile: 0.5}}) + "\n")
    page = report(run)
    assert not {"script", "img", "b"} & {tag for tag, _ in page.tags}
    assert page.text.count(hostile) >= 6
    assert "git checkout 'x; rm -rf ~'" in page.text


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("config.json", "There is no config.json"),
        ("environment.json", "There is no environment.json"),
        ("log.jsonl", "There is no log.jsonl"),
        ("measurements.json", "There is no measurements.json"),
        ("verdict.json", "There is no verdict.json"),
    ],
)
def test_a_missing_file_leaves_its_section_out_with_a_sentence(
    report: Callable[..., Page], make_run: MakeRun, file: str, sentence: str
) -> None:
    run = make_run()
    assert sentence not in report(run).text
    (run / file).unlink()
    assert sentence in report(run).text


def test_every_seed_is_in_one_learning_curve(report: Callable[..., Page], make_run: MakeRun) -> None:
    page = report(*(make_run(seed=seed, log=True) for seed in range(3)))
    labels = [div.get("aria-label") or "" for div in page.all("div")]
    assert sum("loss over step for seed 0, seed 1, seed 2" in label for label in labels) == 1
    assert sum("mse over step for seed 0, seed 1, seed 2" in label for label in labels) == 1
    assert page.text.count("without adaptation") == 1, "the same measurements in each folder are shown once"


def test_curves_with_the_same_axes_share_a_picture_and_give_their_numbers(
    report: Callable[..., Page], make_run: MakeRun
) -> None:
    other = {"x": [1], "y": [0.1], "x_label": "shots", "y_label": "mse"}
    page = report(make_run(curves=CURVES | {"by shots": other}))
    labels = [div.get("aria-label") or "" for div in page.all("div")]
    assert (
        sum("mse over update steps for MAML, first-order. Last values: MAML 0.4;" in x for x in labels) == 1
    )
    assert sum("mse over shots for by shots" in label for label in labels) == 1
    assert "1.10 [1.00, 1.20]" in page.text


def test_a_loss_that_was_not_finite_is_said(report: Callable[..., Page], make_run: MakeRun) -> None:
    run = make_run()
    with (run / "log.jsonl").open("a") as log:
        log.write('{"step": 2100, "loss": NaN}\n')
    assert "was not finite at step 2100" in report(run).text


def test_settings_that_differ_between_runs_are_set_apart(
    report: Callable[..., Page], make_run: MakeRun
) -> None:
    first, second = make_run(seed=0), change(make_run(seed=1), "environment", paddle="3.3.0")
    text = report(first, second).text
    apart = text[text.index("What the runs ran on. Where the runs differ:") :]
    assert re.search(r"paddle\s*3\.3\.1\s*3\.3\.0", apart)
    assert text.index("a processor") < text.index(apart)


def test_throughput_and_commands_are_given(report: Callable[..., Page], make_run: MakeRun) -> None:
    text = report(make_run(log=True)).text
    assert re.search(r"2,000\s*1250\s*20 ms\s*10\.0 %", text)
    assert "fuxian reproduce maml/sinusoid-10shot" in text
    assert "git checkout 0123456789abcdef" in text
    (folder,) = re.findall(r"visualdl --logdir (\S+)", text)
    assert Path(folder).is_dir() and folder.endswith("sinusoid-10shot-0/vdl")


def test_the_verdict_that_rests_on_most_is_shown(report: Callable[..., Page], make_run: MakeRun) -> None:
    few, many = make_run(values=(0.6,), seed=0), make_run(values=(0.40, 0.405, 0.41), seed=1)
    text = report(few, many).text
    assert "✓ Accepted" in text
    assert "sinusoid-10shot-0 holds another verdict (Inconclusive, n = 1)" in text


def test_a_verdict_on_another_target_or_margin_is_pointed_out(
    report: Callable[..., Page], make_run: MakeRun
) -> None:
    run = make_run()
    assert "another target or margin" not in report(run).text
    assert "another target or margin" in report(change(run, "verdict", margin=0.5)).text


def test_bad_input_is_one_sentence(tmp_path: Path, paper: Paper, make_run: MakeRun) -> None:
    out = tmp_path / "report.html"
    with pytest.raises(InputError, match="at least one run folder"):
        write_report([], out, "en", paper)
    run = make_run()
    with pytest.raises(InputError, match="language 'fr'"):
        write_report([run], out, "fr", paper)
    with pytest.raises(InputError, match="is a run of 'maml', not of 'vit'"):
        write_report([run], out, "en", paper.model_copy(update={"id": "vit"}))
    for name in ("config", "measurements", "verdict"):
        change(run, name, claim="unheard-of")
    with pytest.raises(InputError, match="has no claim 'unheard-of'"):
        write_report([run], out, "en", paper)
    assert not out.exists()


def luminance(colour: str) -> float:
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_contrast_is_at_least_4_5_for_text_and_3_for_lines() -> None:
    style = files("fuxian.report").joinpath("templates", "style.css").read_text(encoding="utf-8")
    palettes = [
        dict(re.findall(r"--([\w]+): (#[0-9a-f]{6});", block))
        for block in re.findall(r":root \{([^}]*)\}", style)[:2]
    ]
    assert len(palettes) == 2 and palettes[0]["paper"] != palettes[1]["paper"]

    def contrast(one: str, other: str) -> float:
        light, dark = sorted((luminance(one), luminance(other)), reverse=True)
        return (light + 0.05) / (dark + 0.05)

    for palette in palettes:
        for name in ("ink", "muted", "link", "good", "bad", "open", "plain"):
            for ground in ("paper", "panel"):
                assert contrast(palette[name], palette[ground]) >= 4.5, (name, ground)
        for name in ("ours", "s1", "s2", "s3", "s4", "s5", "s6"):
            assert contrast(palette[name], palette["paper"]) >= 3, name
            assert contrast(palette[name], palette["zone"]) >= 3, name
