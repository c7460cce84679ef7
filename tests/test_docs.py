"""The documentation: links lead somewhere, commands exist, both languages say the same, the guide quotes its files."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from fuxian.cli.main import app
from fuxian.paper import load_paper

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*ROOT.glob("README*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/fuxian/papers/*/README.md")]
)
TRANSLATED = [(ROOT / "README.md", ROOT / "README_cn.md")] + [
    (page, ROOT / "docs/zh" / page.name) for page in sorted(ROOT.glob("docs/*.md"))
]
EXAMPLE = ROOT / "examples/port_a_paper"

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^ {4}.*\n)+", re.MULTILINE)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMAND_LINE = re.compile(r"^\s*(?:\$ )?(?:\w+=\S+ )*(?:\S*/)?fuxian\s+(.*)$")


def name(page):
    return str(page.relative_to(ROOT))


def each_page(function):
    return pytest.mark.parametrize("page", PAGES, ids=name)(function)


def each_translation(function):
    return pytest.mark.parametrize("pair", TRANSLATED, ids=lambda pair: name(pair[0]))(function)


def blocks(text):
    """(language, content) of every fenced or indented block of code."""
    fenced = FENCE.findall(text)
    return fenced + [("", block) for block in INDENTED.findall(FENCE.sub("", text))]


def commands_in_blocks(text):
    lines = [
        line
        for language, block in blocks(text)
        if language in ("", "bash", "sh", "shell", "console")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return [words(found.group(1)) for line in lines if (found := COMMAND_LINE.match(line))]


def commands_in_sentences(text):
    spans = INLINE.findall(INDENTED.sub("", FENCE.sub("", text)))
    return [words(span.removeprefix("fuxian ")) for span in spans if span.startswith("fuxian ")]


def words(line):
    """The command's arguments: no comment, nothing of the shell behind it, a number where the text says N."""
    arguments = []
    for word in shlex.split(line, comments=True):
        if word in ("|", ">", "&&", ";"):
            break
        if word != "...":
            arguments.append("1" if word == "N" else word)
    return arguments


def headings(text):
    return re.findall(r"^(#+) (.+)$", FENCE.sub("", text), re.MULTILINE)


def anchors(text):
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for _, heading in headings(text)}


def parse(arguments, *, named_only):
    """Runs click's parsing, not the command. ``named_only``: a command's bare name needs no arguments."""
    command, path = typer.main.get_command(app), ["fuxian"]
    rest = list(arguments)
    while hasattr(command, "commands"):
        assert rest, f"{' '.join(path)} is a group; name one of its commands"
        if rest[0].startswith("--"):
            assert any(rest[0] in parameter.opts for parameter in command.params), f"fuxian has no {rest[0]}"
            return
        assert rest[0] in command.commands, f"{' '.join(path)} has no command {rest[0]}"
        path.append(rest[0])
        command = command.commands[rest.pop(0)]
        if not rest and named_only:
            return
    try:
        command.make_context(" ".join(path), rest)
    except typer.Exit:  # --help
        return
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        pytest.fail(f"{shlex.join(['fuxian', *arguments])}: {error.format_message()}")


@each_page
def test_links_lead_to_files_and_headings(page):
    text = page.read_text(encoding="utf-8")
    for target in LINK.findall(INLINE.sub("", FENCE.sub("", text))):
        if re.match(r"\w+:", target):
            continue
        place, _, anchor = target.partition("#")
        file = (page.parent / place).resolve() if place else page
        assert file.is_relative_to(ROOT) and file.exists(), f"{target} leads nowhere"
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), f"{target}: there is no such heading"


@each_page
def test_commands_exist_and_take_these_options(page, monkeypatch):
    monkeypatch.setenv("FUXIAN_CONTEST_PASSWORD", "asked for otherwise")
    text = page.read_text(encoding="utf-8")
    for arguments in commands_in_blocks(text):
        parse(arguments, named_only=False)
    for arguments in commands_in_sentences(text):
        parse(arguments, named_only=True)


def test_the_commands_of_the_guides_are_found():
    """Guards the two tests above: a pattern that no longer matches would let everything pass."""
    guide = (ROOT / "docs/reproduce.md").read_text(encoding="utf-8")
    assert ["reproduce", "--resume", "RUN"] in commands_in_blocks(guide)
    assert ["evaluate", "maml/omniglot-5way-1shot", "--run", "RUN"] in commands_in_sentences(guide)
    assert ["data", "get", "omniglot"] in commands_in_blocks(guide)


@pytest.mark.parametrize(
    "line", ["reproduced maml", "reproduce maml --no-such-option", "align", "weights convert a", "data get"]
)
def test_a_command_that_is_wrong_is_found(line):
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        parse(words(line), named_only=False)


@each_translation
def test_both_languages_have_the_same_structure(pair):
    assert pair[1].exists(), f"{name(pair[0])} is not translated; write {name(pair[1])}"
    english, chinese = (page.read_text(encoding="utf-8") for page in pair)
    assert [level for level, _ in headings(chinese)] == [level for level, _ in headings(english)]
    assert commands_in_blocks(chinese) == commands_in_blocks(english)
    assert [kind for kind, _ in blocks(chinese)] == [kind for kind, _ in blocks(english)]
    rows = [len(re.findall(r"^\|", FENCE.sub("", text), re.MULTILINE)) for text in (english, chinese)]
    assert rows[0] == rows[1]


def test_every_chinese_page_has_an_english_one():
    assert {page.name for page in ROOT.glob("docs/zh/*.md")} <= {page.name for page in ROOT.glob("docs/*.md")}


def test_the_guide_quotes_its_files():
    guide = (ROOT / "docs/port-a-paper.md").read_text(encoding="utf-8")
    quoted = [block for language, block in FENCE.findall(guide) if language == "python"]
    assert quoted[0] in (EXAMPLE / "torch_recipe.py").read_text(encoding="utf-8")
    paper = (EXAMPLE / "paper.toml").read_text(encoding="utf-8")
    claim = next(block for language, block in FENCE.findall(guide) if language == "toml")
    assert claim in paper
    assert load_paper(EXAMPLE).claim("textures").reference is not None


def test_the_guides_two_mends_turn_the_broken_port_into_the_port():
    broken, port = (
        (EXAMPLE / file).read_text(encoding="utf-8").split("\n", 1)[1]
        for file in ("broken_recipe.py", "recipe.py")
    )
    mended = broken.replace(
        "padding=1)\n        self.widen", "padding=1, exclusive=False)\n        self.widen"
    )
    assert mended != broken
    assert mended != port
    assert mended.replace("momentum=0.1)\n", "momentum=0.9)\n") == port
