import io
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fuxian.datasets import archive, find_root, omniglot
from fuxian.datasets.catalogue import CATALOGUE
from fuxian.errors import InputError

ALPHABETS = {"images_background.zip": ["Greek", "Armenian"], "images_evaluation.zip": ["Braille", "Tengwar"]}


def png(ink: np.ndarray, mode: str = "1") -> bytes:
    """A picture as the official archives hold it: black ink on white paper, one bit per pixel."""
    out = io.BytesIO()
    Image.fromarray(np.where(ink, 0, 255).astype(np.uint8)).convert(mode, dither=0).save(out, "PNG")
    return out.getvalue()


def drawing(alphabet: str, character: int, drawer: int) -> np.ndarray:
    seed = [*alphabet.encode(), character, drawer]
    return np.random.default_rng(seed).random((105, 105)) < 0.1


@pytest.fixture
def small(tmp_path, monkeypatch, make_zip):
    """Four alphabets of two characters in the official layout, catalogued as the published ones."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "data" / "omniglot"
    folder.mkdir(parents=True)
    files = []
    for published in CATALOGUE["omniglot"].files:
        pictures = {
            f"{published.name.removesuffix('.zip')}/{a}/character{c:02d}/{c:04d}_{d:02d}.png": png(
                drawing(a, c, d)
            )
            for a in ALPHABETS[published.name]
            for c in (2, 1)
            for d in range(20, 0, -1)
        }
        path = make_zip(folder / published.name, pictures)
        files.append(replace(published, contents=archive.contents(path)))
    catalogue(monkeypatch, files)
    return folder


def catalogue(monkeypatch, files) -> None:
    monkeypatch.setitem(CATALOGUE, "omniglot", replace(CATALOGUE["omniglot"], files=tuple(files)))


def recatalogue(monkeypatch, folder) -> None:
    """Declares whatever lies in the folder to be the published archives."""
    files = CATALOGUE["omniglot"].files
    catalogue(monkeypatch, [replace(f, contents=archive.contents(folder / f.name)) for f in files])


def cache(tmp_path):
    return next((tmp_path / "cache" / "fuxian" / "prepared").glob("*.safetensors"))


def test_both_archives_are_one_sorted_set(small):
    data = omniglot.load(small.parent)
    assert data.names == [
        f"{alphabet}/character{character:02d}"
        for alphabet in ("Armenian", "Braille", "Greek", "Tengwar")
        for character in (1, 2)
    ]
    assert data.drawers == [f"{drawer:02d}" for drawer in range(1, 21)]
    assert data.images.shape == (8, 20, 28, 28)
    assert data.images.dtype == np.uint8
    assert not data.images.flags.writeable


def test_pictures_are_those_of_the_official_preparation(small, tmp_path):
    """cbfinn/maml opens each file, resizes with LANCZOS, saves, reads it again, and takes 1 - x / 255."""
    data = omniglot.load(small.parent)
    for row, (alphabet, character) in enumerate(name.split("/character") for name in data.names):
        for column in (0, 7, 19):
            path = tmp_path / "picture.png"
            path.write_bytes(png(drawing(alphabet, int(character), column + 1)))
            Image.open(path).resize((28, 28), resample=Image.Resampling.LANCZOS).save(path)
            expected = 1.0 - np.asarray(Image.open(path)).astype(np.float32)
            assert (data.images[row, column] == 255 * expected).all()


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_picture_is_the_nearest_pixels_with_ink_bright(seed, amount):
    """Every picture keeps, for each of 28 x 28 cells of 3.75 pixels, the pixel under the cell's middle."""
    ink = np.random.default_rng(seed).random((105, 105)) < amount
    kept = ((np.arange(28) + 0.5) * 3.75).astype(int)
    assert (omniglot._picture(png(ink), "x.png") == 255 * ink[np.ix_(kept, kept)]).all()


def test_the_second_load_reads_the_cache_alone(small):
    first = omniglot.load(small.parent)
    for path in small.iterdir():
        path.write_bytes(b"changed since")
    again = omniglot.load(small.parent)
    assert (again.images == first.images).all()
    assert (again.names, again.drawers) == (first.names, first.drawers)
    assert not again.images.flags.writeable


def test_other_published_contents_are_another_cache(small, monkeypatch, make_zip):
    first = omniglot.load(small.parent)
    with zipfile.ZipFile(small / "images_evaluation.zip") as old:
        pictures = {name: png(np.ones((105, 105), bool)) for name in old.namelist()}
    make_zip(small / "images_evaluation.zip", pictures)
    recatalogue(monkeypatch, small)
    second = omniglot.load(small.parent)
    assert (second.images[2:4] == 255).all()
    assert (second.images[:2] == first.images[:2]).all()


@pytest.mark.parametrize("damage", ["cut", "flipped", "names", "empty", "garbage", "folder"])
def test_a_damaged_cache_is_made_again(small, tmp_path, damage, caplog):
    first = omniglot.load(small.parent)
    path = cache(tmp_path)
    whole = path.read_bytes()
    match damage:
        case "cut":
            path.write_bytes(whole[:-100])
        case "flipped":
            path.write_bytes(whole[:-100] + bytes([whole[-100] ^ 255]) + whole[-99:])
        case "names":
            path.write_bytes(whole.replace(b"Greek", b"Kreeg"))
        case "empty":
            path.write_bytes(b"")
        case "garbage":
            path.write_bytes(b"\xff" * 1000)
        case "folder":
            path.unlink()
            path.mkdir()
    again = omniglot.load(small.parent)
    assert (again.images == first.images).all()
    assert again.names == first.names
    assert "is damaged" in caplog.text
    assert sorted(path.parent.iterdir()) == [path]
    if damage != "folder":
        caplog.clear()
        omniglot.load(small.parent)
        assert not caplog.text


def test_a_cache_folder_that_cannot_be_written_costs_time_only(small, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(omniglot.load(small.parent).names) == 8
    assert "decoded anew each time" in caplog.text


def test_an_absent_archive_is_told(small):
    (small / "images_evaluation.zip").unlink()
    with pytest.raises(InputError) as error:
        omniglot.load(small.parent)
    for part in (str(small / "images_evaluation.zip"), "fuxian data get omniglot", "https://github.com/"):
        assert part in str(error.value)


def test_an_archive_with_other_contents_is_refused_and_not_cached(small, tmp_path, make_zip):
    make_zip(small / "images_evaluation.zip", {"images_evaluation/A/character01/0001_01.png": b"?"})
    with pytest.raises(InputError, match=r"images_evaluation\.zip holds 1 files"):
        omniglot.load(small.parent)
    assert not (tmp_path / "cache").exists()


PICTURE = "images_evaluation/A/character01/0001_01.png"
ALL_INK = np.ones((105, 105), bool)


@pytest.mark.parametrize(
    ("picture", "saying"),
    [
        ({PICTURE: png(ALL_INK)}, "holds 1 pictures of A/"),
        ({"0001_01.png": png(ALL_INK)}, "is not named like"),
        ({"images_evaluation/A/character01/0001.png": png(ALL_INK)}, "is not named like"),
        ({PICTURE: png(np.ones((105, 106), bool))}, "105 x 105 pixels"),
        ({PICTURE: png(ALL_INK, "L")}, "one bit"),
        ({PICTURE: b"GIF89a"}, "not a whole PNG"),
        ({PICTURE: png(drawing("A", 1, 1))[:200]}, "not a whole PNG"),
    ],
)
def test_published_contents_that_are_no_omniglot(small, monkeypatch, make_zip, picture, saying):
    make_zip(small / "images_evaluation.zip", picture)
    recatalogue(monkeypatch, small)
    with pytest.raises(InputError, match=saying):
        omniglot.load(small.parent)


@pytest.fixture
def real():
    root = find_root()
    for file in CATALOGUE["omniglot"].files:
        if not (root / "omniglot" / file.name).is_file():
            pytest.skip(
                f"{root / 'omniglot' / file.name} is not there: set FUXIAN_DATA to a folder with Omniglot"
            )
    return root


def test_the_real_omniglot(real, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    data = omniglot.load(real)
    assert data.images.shape == (1623, 20, 28, 28)
    assert len(set(data.names)) == 1623
    assert len({name.split("/")[0] for name in data.names}) == 50
    assert data.names[0] == "Alphabet_of_the_Magi/character01"
    assert set(np.unique(data.images)) == {0, 255}
    # Ink is thin: a picture that is mostly bright would not have been inverted.
    assert 0.05 < (data.images == 255).mean() < 0.12
    row, column = data.names.index("ULOG/character26"), data.drawers.index("20")
    with zipfile.ZipFile(real / "omniglot" / "images_evaluation.zip") as opened:
        picture = Image.open(io.BytesIO(opened.read("images_evaluation/ULOG/character26/1623_20.png")))
        small = np.asarray(picture.resize((28, 28), resample=Image.Resampling.LANCZOS))
    assert (data.images[row, column] == np.where(small, 0, 255)).all()
    again = omniglot.load(real)
    assert (again.images == data.images).all()
    assert again.names == data.names
