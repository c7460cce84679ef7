"""The public data sets Fuxian reads: where they come from, on which terms, and what they must hold."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fuxian.datasets import archive
from fuxian.datasets.archive import Contents
from fuxian.errors import InputError

SCHEMES = ("https", "http", "file")
"""Of addresses that are downloaded from."""

State = Literal["present", "absent", "damaged"]


@dataclass(frozen=True)
class File:
    """One archive as its source offers it. ``bytes`` is the download's size as far as it is known."""

    name: str
    url: str
    bytes: int
    contents: Contents
    mirrors: tuple[str, ...] = ()
    """Other addresses that offer it, tried in this order when ``url`` does not answer; all are checked alike."""


@dataclass(frozen=True)
class PublicDataset:
    """A public data set; its files lie in ``<root>/<name>/``."""

    name: str
    title: str
    homepage: str
    licence: str
    citation: str
    files: tuple[File, ...]


# The source publishes no sha256 of its archives, and copies of them were packed again: contents are checked.
CATALOGUE: dict[str, PublicDataset] = {
    "omniglot": PublicDataset(
        name="omniglot",
        title="Omniglot: 1,623 handwritten characters of 50 alphabets, each drawn by 20 people",
        homepage="https://github.com/brendenlake/omniglot",
        licence="MIT",
        citation=(
            "Lake, B. M., Salakhutdinov, R., and Tenenbaum, J. B. (2015). Human-level concept learning "
            "through probabilistic program induction. Science, 350(6266), 1332-1338."
        ),
        files=(
            File(
                name="images_background.zip",
                url="https://github.com/brendenlake/omniglot/raw/master/python/images_background.zip",
                bytes=9_464_212,
                contents=Contents(
                    files=19_280,
                    bytes=4_810_560,
                    sha256="deaa02f758afda524b3a045c7af40311f2d9ded3e2a39f715ece8470d474bc6a",
                ),
            ),
            File(
                name="images_evaluation.zip",
                url="https://github.com/brendenlake/omniglot/raw/master/python/images_evaluation.zip",
                bytes=6_462_886,
                contents=Contents(
                    files=13_180,
                    bytes=3_371_735,
                    sha256="3d5e035f27423c362bf9a181af649b43cda64c1008f842177ddc5203269c901e",
                ),
            ),
        ),
    ),
    "icdar2015": PublicDataset(
        name="icdar2015",
        title="ICDAR 2015 incidental scene text, the test part: 500 pictures, quadrilaterals of words",
        homepage="https://rrc.cvc.uab.es/?ch=4&com=downloads",
        licence="for research use, after registration",
        citation=(
            "Karatzas, D., et al. (2015). ICDAR 2015 competition on robust reading. "
            "International Conference on Document Analysis and Recognition, 1156-1160."
        ),
        files=(
            File(
                name="ch4_test_images.zip",
                url="https://rrc.cvc.uab.es/downloads/ch4_test_images.zip",
                bytes=44_588_203,
                contents=Contents(
                    files=500,
                    bytes=44_539_397,
                    sha256="f1555b0028e54ac5935eae264ba74affd6e0b521ebc6bafdf3c801835e1c9490",
                ),
            ),
            File(
                name="Challenge4_Test_Task1_GT.zip",
                url="https://rrc.cvc.uab.es/downloads/Challenge4_Test_Task1_GT.zip",
                bytes=155_331,
                contents=Contents(
                    files=500,
                    bytes=192_553,
                    sha256="6e8ed07956644711636730c5ae6eec9bf4d5ef2042ea138deef03ac094fd4acc",
                ),
            ),
        ),
    ),
}


def find(name: str) -> PublicDataset:
    """The data set called ``name``.

    Raises:
        InputError: there is none.
    """
    try:
        return CATALOGUE[name]
    except KeyError:
        raise InputError(
            f"There is no data set called {name!r}; the names are: {', '.join(sorted(CATALOGUE))}."
        ) from None


def state(file: File, folder: Path) -> State:
    """Whether ``folder`` holds ``file`` with the published contents; reads all of it."""
    path = folder / file.name
    if not path.exists():
        return "absent"
    try:
        archive.check(path, file.contents)
    except InputError:
        return "damaged"
    return "present"
