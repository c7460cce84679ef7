"""What a paper's folder offers: a folder of one's own, and what is said where a part is absent or wrong."""

import hashlib
import json

import numpy as np
import pytest

from fuxian.errors import InputError, PlatformError
from fuxian.papers.contract import ABSENT
from fuxian.papers.find import find_claim, reproduced_papers
from fuxian.papers.weights_entries import get_weights
from fuxian.recipe import leaves
from fuxian.training.checkpoints import load_evaluated

PAPER = """
id = "doubled"
title = "Doubling"
authors = ["A"]
venue = "none"
year = 2026
url = "https://example.org/doubled"

[[claim]]
id = "twice"
title = "Twice"
dataset = "numbers"
split = "test"
metric = "error"
unit = "error"
direction = "lower"
scope = "scaled"
subject = "weights"
target = 0.1
margin = 0.1
checkpoint = "last"
seeds = [0]
iterations = 5
"""
RECIPE = """
import paddle
from fuxian import Recipe
from beside import SIZE

def recipe(claim="twice", *, seed=0, iterations=1, eval_split="test", width=SIZE):
    return Recipe(model=lambda: paddle.nn.Linear(width, 1))
"""
PREDICT = '''
from pathlib import Path
from typing import Annotated

from fuxian.papers.contract import Prediction

PATH = """
A text file with a number in each line.
"""

def predict(claim: str, path: Path, weights: Path, out: Path, *, times: Annotated[int, "How often."] = 2) -> Prediction:
    rows = [{"number": float(line), "doubled": float(line) * times} for line in path.read_text().split()]
    (out / "table.html").write_text("<table></table>")
    return Prediction(rows=rows, views=[out / "table.html"])
'''


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "doubled"
    folder.mkdir()
    (folder / "paper.toml").write_text(PAPER)
    (folder / "recipe.py").write_text(RECIPE)
    (folder / "beside.py").write_text("SIZE = 3\n")
    return folder


@pytest.fixture
def found(folder):
    """The folder and its claim."""
    return find_claim(str(folder))


def test_a_folder_of_ones_own_is_found_with_and_without_a_claim(folder, found):
    paper, claim = found
    assert (paper.paper.id, claim.id) == ("doubled", "twice")
    assert find_claim(f"{folder}/twice")[1] == claim
    with pytest.raises(InputError, match="no claim 'thrice'"):
        find_claim(f"{folder}/thrice")


def test_fuxians_own_papers_are_found_by_id_and_lie_in_a_folder_of_that_name():
    papers = reproduced_papers()
    assert papers
    for paper in papers:
        assert paper.paper.folder.name == paper.paper.id.replace("-", "_")
        assert find_claim(paper.paper.id)[1] == paper.paper.claims[0]
        for claim in paper.paper.claims:
            assert find_claim(f"{paper.paper.id}/{claim.id}")[1] == claim


@pytest.mark.parametrize("name", ["nothing", "nothing/at-all", "./nothing", "/nowhere/at/all", ""])
def test_what_is_not_there_is_one_sentence_with_what_is(name):
    with pytest.raises(InputError, match=r"maml|no paper\.toml"):
        find_claim(name)


def test_a_folder_without_a_recipe_is_refused(folder):
    (folder / "recipe.py").unlink()
    with pytest.raises(InputError, match=r"no recipe\.py"):
        find_claim(str(folder))


def test_a_recipe_takes_its_own_settings_and_no_others(found):
    paper, claim = found
    assert paper.recipe(claim).model().weight.shape == [3, 1]
    assert paper.recipe(claim, settings={"width": 7}).model().weight.shape == [7, 1]
    with pytest.raises(InputError, match="no setting 'depth'; it has: width"):
        paper.recipe(claim, settings={"depth": 1})


def test_a_changed_file_is_read_again(folder, found):
    paper, claim = found
    assert paper.recipe(claim).loss is None
    (folder / "recipe.py").write_text(RECIPE.replace("width, 1))", "width, 1), loss=lambda a, b: 0)"))
    assert paper.recipe(claim).loss is not None


def test_every_absent_part_is_one_sentence(found, tmp_path):
    paper, claim = found
    assert set(paper.absent) == set(ABSENT)
    calls = {
        "draw": lambda: paper.draw(claim, 0),
        "predict": lambda: paper.predict(claim, tmp_path, tmp_path, tmp_path),
        "export": lambda: paper.export(claim, tmp_path),
        "reference": lambda: paper.reference("twice"),
        "weights": lambda: paper.weights("twice"),
    }
    for part, call in calls.items():
        with pytest.raises(InputError) as caught:
            call()
        assert str(caught.value) == paper.absent[part]
        assert str(caught.value).count(". ") == 0
    assert paper.curves(claim, []) == {}


def test_predict_has_the_options_that_its_signature_declares(folder, found, tmp_path):
    (folder / "predict.py").write_text(PREDICT)
    paper, claim = find_claim(str(folder))
    assert paper.predict_path == "A text file with a number in each line."
    (option,) = paper.options("predict").values()
    assert (option.name, option.default, option.annotation.__metadata__) == ("times", 2, ("How often.",))
    numbers = tmp_path / "numbers.txt"
    numbers.write_text("1\n2\n")
    made = paper.predict(claim, numbers, tmp_path, tmp_path, {"times": 3})
    assert [row["doubled"] for row in made.rows] == [3, 6]


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("predict", "", "no function predict"),
        ("predict", "def predict(picture): ...", r"predict\(claim, path, weights, out\)"),
        ("predict", "def predict(claim, path, weights, out): return 3", "int was returned"),
        ("draw", "def draw(claim): ...", r"draw\(claim, seed\)"),
        ("recipe", "def recipe(claim='a', *, seed, iterations, eval_split): return 1", "int was returned"),
        ("recipe", "def recipe(claim='a', *, seed): return 1", "mend the file"),
        ("recipe", "import nothing_like_this", "nothing_like_this"),
    ],
)
def test_a_part_of_another_form_is_refused_with_its_file(folder, tmp_path, name, content, wanted):
    (folder / f"{name}.py").write_text(content)
    paper, claim = find_claim(str(folder))
    calls = {
        "predict": lambda: paper.predict(claim, tmp_path, tmp_path, tmp_path),
        "draw": lambda: paper.draw(claim, 0),
        "recipe": lambda: paper.recipe(claim),
    }
    with pytest.raises(InputError, match=wanted) as caught:
        calls[name]()
    assert f"{name}.py" in str(caught.value)


WEIGHTS = """
[[weights]]
name = "twice"
url = {url}
sha256 = "{sha256}"
bytes = 3
licence = "Apache-2.0"
source = "made here"
"""


def test_weights_that_are_not_here_yet_name_the_command_that_gets_them(folder, found, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (folder / "weights").mkdir()
    (folder / "weights" / "weights.toml").write_text(
        WEIGHTS.format(url='"https://example.org/twice.pdparams"', sha256="0" * 64)
    )
    paper, _ = find_claim(str(folder))
    with pytest.raises(InputError, match="fuxian weights get doubled/twice"):
        paper.weights("twice")
    with pytest.raises(InputError, match="fuxian reproduce doubled/other"):
        paper.weights("other")
    kept = tmp_path / "cache" / "fuxian" / "weights" / "doubled" / "twice.pdparams"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"abc")
    assert paper.weights("twice") == kept
    (folder / "weights" / "twice.safetensors").write_bytes(b"")
    assert paper.weights("twice") == folder / "weights" / "twice.safetensors"


@pytest.mark.parametrize(
    ("url", "sha256", "wanted"),
    [
        ('"ftp://example.org/a"', "0" * 64, "ftp"),
        ('"https://example.org/a"', "0", "sha256"),
        ("[]", "0" * 64, "url"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_line(folder, url, sha256, wanted):
    (folder / "weights").mkdir()
    (folder / "weights" / "weights.toml").write_text(WEIGHTS.format(url=url, sha256=sha256))
    with pytest.raises(InputError, match=rf"weights\.toml, line \d.*{wanted}"):
        find_claim(str(folder))[0].weights("twice")


def test_committed_weights_have_at_most_5_mb():
    from fuxian.papers.weights_entries import LARGEST_COMMITTED

    for paper in reproduced_papers():
        for file in (paper.paper.folder / "weights").glob("*.safetensors"):
            assert file.stat().st_size <= LARGEST_COMMITTED, file


@pytest.fixture
def offered(folder, tmp_path, monkeypatch):
    """A file of weights on a disk of this machine, and the folder's entry for it after one that is not there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = tmp_path / "host" / "my weights.bin"
    file.parent.mkdir()
    file.write_bytes(b"abc")
    (folder / "weights").mkdir()
    urls = json.dumps([(tmp_path / "nowhere.bin").as_uri(), file.as_uri()])
    digest = hashlib.sha256(b"abc").hexdigest()
    (folder / "weights" / "weights.toml").write_text(WEIGHTS.format(url=urls, sha256=digest))
    return file


def test_weights_are_got_from_the_first_address_that_has_them_and_are_checked(folder, found, offered):
    paper, _ = found
    kept = get_weights(paper.paper, "twice")
    assert kept.read_bytes() == b"abc" and paper.weights("twice") == kept
    offered.unlink()
    assert get_weights(paper.paper, "twice") == kept, "what is here and right is not got again"
    kept.write_bytes(b"abd")
    offered.write_bytes(b"abcd")
    with pytest.raises(PlatformError) as caught:
        get_weights(paper.paper, "twice")
    for words in ("nowhere.bin could not be downloaded", "another sha256", f"put it at {kept}"):
        assert words in str(caught.value)
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]
    with pytest.raises(InputError, match=r"'other' to get; its weights\.toml names: twice"):
        get_weights(paper.paper, "other")


@pytest.mark.parametrize("as_address", [True, False])
def test_a_mirror_is_tried_first(found, offered, tmp_path, monkeypatch, as_address):
    mirror = tmp_path / "a mirror"
    (mirror / "weights" / "doubled").mkdir(parents=True)
    (mirror / "weights" / "doubled" / "twice.bin").write_bytes(b"abc")
    offered.unlink()
    with pytest.raises(PlatformError):
        get_weights(found[0].paper, "twice")
    monkeypatch.setenv("FUXIAN_MIRROR", mirror.as_uri() if as_address else str(mirror))
    assert get_weights(found[0].paper, "twice").read_bytes() == b"abc"


PAPERS = {folder.paper.id: folder for folder in reproduced_papers()}


@pytest.mark.parametrize("name", PAPERS)
def test_every_part_of_every_paper_has_the_form_of_the_contract(name):
    folder = PAPERS[name]
    assert set(folder.absent) <= set(ABSENT)
    for claim in folder.paper.claims:
        try:
            recipe = folder.recipe(claim, seed=1, iterations=2, eval_split="validation")
        except InputError as error:
            assert claim.data and "is not there" in str(error), (
                "only data that is not there may stop a recipe"
            )
            continue
        for part in ("train_data", "eval_data", "optimizer", "metric"):
            assert getattr(recipe, part) is not None, (claim.id, part)
        assert recipe.loss is not None or recipe.step is not None
    for entry in folder.align_entries:
        assert folder.aligned(entry).model is not None
    for part in ("predict", "export"):
        if part in folder.absent:
            continue
        for option in folder.options(part).values():
            assert option.annotation.__metadata__[0].endswith("."), (
                f"{part}: --{option.name} has no sentence of help"
            )
    assert "predict" in folder.absent or folder.predict_path


@pytest.mark.parametrize("name", [name for name, folder in PAPERS.items() if "draw" not in folder.absent])
def test_every_drawn_test_has_the_form_of_the_contract(name):
    folder = PAPERS[name]
    claim = folder.paper.claims[0]
    assert folder.has_public_labels(claim) in (True, False)
    try:
        batches = [next(iter(folder.draw(claim, seed))) for seed in (7, 7, 8)]
    except (InputError, PlatformError) as error:
        pytest.skip(f"{name}: {error}")
    for batch in batches:
        assert {"inputs", "targets", "ids"} <= set(batch)
        assert len(set(batch["ids"])) == len(batch["ids"]) > 0
        assert all(isinstance(one, str) for one in batch["ids"])

    def as_bytes(batch):
        return [
            np.asarray(leaf).tobytes() for part in ("inputs", "targets") for _, leaf in leaves(batch[part])
        ]

    first, again, other = map(as_bytes, batches)
    assert first == again and first != other


COMMITTED = [
    (folder, claim)
    for folder in reproduced_papers()
    for claim in folder.paper.claims
    if (folder.paper.folder / "weights" / f"{claim.id}.safetensors").is_file()
]


@pytest.mark.parametrize(("folder", "claim"), COMMITTED, ids=[f"{f.name}/{c.id}" for f, c in COMMITTED])
def test_committed_weights_are_loaded_without_the_data(folder, claim, tmp_path, monkeypatch):
    """As in a ruling, where the network sees the drawn inputs alone."""
    monkeypatch.setenv("FUXIAN_DATA", str(tmp_path))
    assert load_evaluated(folder.recipe(claim), folder.weights(claim.id)).state_dict()
