"""What a paper says in the other language: its claims in Chinese reports, its method in packages."""

from pathlib import Path

import pytest

import fuxian.papers
from fuxian.paper import NO_REASON, load_paper
from fuxian.report.terms import glossary

PAPERS = sorted(file.parent for file in Path(fuxian.papers.__file__).parent.glob("*/paper.toml"))


@pytest.mark.parametrize("folder", PAPERS, ids=lambda folder: folder.name)
def test_claims_are_said_in_chinese(folder):
    term = glossary("zh", folder)
    for claim in load_paper(folder / "paper.toml").claims:
        said = [claim.title, claim.published and claim.published.source]
        said += [claim.margin_reason] if claim.margin_reason != NO_REASON else []
        for english in filter(None, said):
            assert any("\u4e00" <= letter <= "\u9fff" for letter in term(english)), english


@pytest.mark.parametrize("folder", PAPERS, ids=lambda folder: folder.name)
def test_the_method_is_told_in_both_languages(folder):
    english, chinese = ((folder / name).read_text(encoding="utf-8") for name in ("method.md", "method_zh.md"))
    assert english.count("\n- ") == chinese.count("\n- ") >= 3
