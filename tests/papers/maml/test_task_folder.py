import io
import os
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from fuxian.datasets import find_root, omniglot
from fuxian.errors import InputError
from fuxian.papers import user_files
from fuxian.papers.maml import task_folder
from fuxian.papers.maml.task_folder import prepare, read_numbers, read_pictures


def through(image: Image.Image, form: str, **options) -> Image.Image:
    """The picture after being written as a file of that form and opened again."""
    content = io.BytesIO()
    image.save(content, form, **options)
    again = Image.open(content)
    again.load()
    return again


def transparent(image: Image.Image) -> Image.Image:
    """Ink on nothing; the colour under the nothing is black."""
    alpha = ImageOps.invert(image.convert("L"))
    return Image.merge("RGBA", [Image.new("L", image.size, 0)] * 3 + [alpha])


ALIKE = {
    "grey": lambda image: image.convert("L"),
    "colour": lambda image: ImageOps.colorize(image.convert("L"), "navy", "beige"),
    "palette": lambda image: image.convert("RGB").convert("P"),
    "transparent": transparent,
    "BMP": lambda image: through(image.convert("RGB"), "BMP"),
    "twice as large": lambda image: image.resize((210, 210)),
    "large JPEG": lambda image: through(image.convert("L").resize((420, 420)), "JPEG", quality=80),
    "turned by EXIF": lambda image: through(image.convert("L").rotate(90), "PNG", exif=turned_exif()),
}


def turned_exif():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def test_one_bit_pictures_are_prepared_as_the_official_code_does(drawing):
    """cbfinn/maml: ``resize((28, 28), resample=Image.LANCZOS)``, then 1 - x."""
    for seed in range(10):
        official = np.asarray(drawing(seed).resize((28, 28), resample=Image.Resampling.LANCZOS))
        prepared = prepare(drawing(seed), "it")
        assert prepared.dtype == np.float32
        assert (prepared == 1.0 - official).all()


def test_pictures_of_the_data_set_are_prepared_bit_for_bit_as_there():
    root = find_root()
    archive = root / "omniglot" / "images_evaluation.zip"
    if not archive.is_file():
        pytest.skip(f"Omniglot is not in {root}; set FUXIAN_DATA")
    data = omniglot.load(root)
    with zipfile.ZipFile(archive) as packed:
        for file in [name for name in packed.namelist() if name.endswith(".png")][::100]:
            _, alphabet, character, picture = file.split("/")
            row = data.names.index(f"{alphabet}/{character}")
            column = data.drawers.index(picture.removesuffix(".png").split("_")[1])
            with Image.open(io.BytesIO(packed.read(file))) as image:
                assert (prepare(image, file) * 255 == data.images[row, column]).all()


@pytest.mark.parametrize("kind", ALIKE)
def test_the_same_drawing_in_another_form_is_prepared_alike(drawing, kind):
    for seed in range(5):
        assert (prepare(ALIKE[kind](drawing(seed)), "it") == prepare(drawing(seed), "it")).all()


def test_a_picture_of_the_networks_size_is_taken_as_it_is(drawing):
    prepared = prepare(drawing(0), "it")
    assert (prepare(Image.fromarray(prepared == 0), "it") == prepared).all()


def test_a_long_picture_is_laid_on_a_square_of_its_paper():
    line = Image.new("L", (300, 60), 200)
    line.paste(10, (30, 20, 270, 40))
    expected = np.zeros((28, 28), bool)
    expected[12:15, 3:25] = True
    assert (prepare(line, "it") == expected).mean() > 0.95


def test_a_stroke_thinner_than_a_pixel_is_not_lost():
    sheet = np.full((1050, 1050), 255, np.uint8)
    sheet[:, 201:203] = 0
    prepared = prepare(Image.fromarray(sheet), "it")
    assert np.flatnonzero(prepared.any(0)).tolist() == [5]


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (Image.new("1", (105, 105), 1), "no ink"),
        (Image.new("L", (50, 50), 250), "no ink"),
        (Image.fromarray(np.random.default_rng(0).integers(240, 250, (105, 105)).astype(np.uint8)), "no ink"),
        (Image.new("RGBA", (50, 50), (0, 0, 0, 0)), "no ink"),
        (Image.fromarray(np.eye(105) > 0), "more than half dark"),
        (Image.fromarray(np.eye(105, dtype=np.int32)), "8 bits"),
    ],
)
def test_what_is_no_dark_ink_on_light_paper_is_refused(image, reason):
    with pytest.raises(InputError, match=f"it .*{reason}"):
        prepare(image, "it")


def test_a_folder_of_pictures_is_a_task(pictures):
    (pictures / "support" / "alpha" / "2.JPG").write_bytes(jpeg(np.eye(105) == 0))
    (pictures / "query" / ".DS_Store").write_bytes(b"hidden")
    task = read_pictures(pictures, 5)
    assert task.labels == ["[red]", "alpha", "beta", "delta", "gamma"]
    assert task.support_x.shape == (11, 28, 28)
    assert task.support_x.dtype == task.support_y.dtype == np.float32
    assert task.support_y.argmax(1).tolist() == [0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 4]
    assert (task.support_y.sum(1) == 1).all()
    assert task.query_files == [f"{number}.png" for number in range(6)]
    with Image.open(pictures / "support" / "beta" / "1.png") as image:
        assert (task.support_x[6] == prepare(image, "it")).all()


def test_query_pictures_may_be_absent(pictures):
    for file in (pictures / "query").iterdir():
        file.unlink()
    assert read_pictures(pictures, 5).query_x.shape == (0, 28, 28)
    (pictures / "query").rmdir()
    assert read_pictures(pictures, 5).query_x.shape == (0, 28, 28)


def jpeg(paper: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(paper).convert("L").save(content, "JPEG")
    return content.getvalue()


def gif() -> bytes:
    content = io.BytesIO()
    Image.new("L", (9, 9)).save(content, "GIF")
    return content.getvalue()


def png(width: int, height: int) -> bytes:
    """A small file that claims to be a picture of that size."""
    content = io.BytesIO()
    Image.new("1", (1, 1)).save(content, "PNG")
    header = content.getvalue()

    chunk = b"IHDR" + struct.pack(">II", width, height) + header[24:29]
    return header[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + header[33:]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot be read as a picture"),
        (b"not a picture", "cannot be read as a picture"),
        (gif(), "cannot be read as a picture"),
        (jpeg(np.eye(105) == 0)[:300], "cannot be read as a picture"),
        (png(105, 105), "cannot be read as a picture"),
        (png(5000, 10), "5000 x 10 pixels"),
        (png(60000, 60000), "cannot be read as a picture|60000 x 60000"),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_damaged_or_hostile_picture_is_named(pictures, content, reason):
    (pictures / "query" / "bad.png").write_bytes(content)
    with pytest.raises(InputError, match=f"bad.png .*({reason})"):
        read_pictures(pictures, 5)


@pytest.mark.parametrize("seed", range(20))
def test_damage_anywhere_in_a_picture_is_bad_input_at_worst(pictures, seed):
    rng = np.random.default_rng(seed)
    file = pictures / "query" / "0.png"
    content = bytearray(file.read_bytes())
    for place in rng.integers(0, len(content), 8):
        content[place] = rng.integers(256)
    file.write_bytes(content)
    try:
        read_pictures(pictures, 5)
    except InputError as error:
        assert "0.png" in str(error)


def test_only_regular_files_of_bounded_size_are_read(pictures, monkeypatch):
    os.mkfifo(pictures / "query" / "pipe.png")
    with pytest.raises(InputError, match=r"pipe.png is no file"):
        read_pictures(pictures, 5)
    (pictures / "query" / "pipe.png").unlink()
    monkeypatch.setattr(user_files, "MAX_BYTES", 50)
    with pytest.raises(InputError, match="larger than"):
        read_pictures(pictures, 5)


def test_no_more_pictures_than_fit_together(pictures, monkeypatch):
    monkeypatch.setattr(task_folder, "MAX_PICTURES", 5)
    with pytest.raises(InputError, match="holds 10 pictures; give at most 5"):
        read_pictures(pictures, 5)


def test_a_folder_of_another_layout_is_refused_with_the_place(pictures):
    with pytest.raises(InputError, match="holds 5 labels where the network tells 20 apart"):
        read_pictures(pictures, 20)
    with pytest.raises(InputError, match=r"nowhere.*cannot be listed"):
        read_pictures(pictures / "nowhere", 5)
    (pictures / "query" / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match=r"notes.txt is no picture"):
        read_pictures(pictures, 5)
    (pictures / "query" / "notes.txt").rename(pictures / "support" / "notes.txt")
    with pytest.raises(InputError, match=r"notes.txt is no folder"):
        read_pictures(pictures, 5)
    (pictures / "support" / "notes.txt").unlink()
    for shot in (pictures / "support" / "beta").iterdir():
        shot.unlink()
    with pytest.raises(InputError, match="beta is empty"):
        read_pictures(pictures, 5)
    (pictures / "support" / "beta").rename(pictures / "support" / "be\x1b[31mta")
    with pytest.raises(InputError, match=r"'be\\x1b\[31mta', a name that cannot be printed"):
        read_pictures(pictures, 5)


def test_a_folder_of_numbers_is_a_task(numbers):
    task = read_numbers(numbers)
    assert task.labels == task.query_files == []
    assert task.support_x.shape == task.support_y.shape == (10, 1)
    assert task.support_x.dtype == task.query_x.dtype == np.float32
    assert task.support_y[:, 0] == pytest.approx(3 * np.sin(np.linspace(-5, 5, 10) - 1), rel=1e-6)
    assert task.query_x.tolist() == [[-1.0], [0.5], [2.0]]
    (numbers / "query.csv").unlink()
    assert read_numbers(numbers).query_x.shape == (0, 1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "must begin with the line x,y"),
        (b"1,2\n", "must begin with the line x,y"),
        (b"x,y\n", "no example"),
        (b"x,y\n1,2\n3\n", "line 3: not 2 finite"),
        (b"x,y\n1,2,3\n", "line 2: not 2 finite"),
        (b"x,y\n1,two\n", "line 2: not 2 finite"),
        (b"x,y\n1,nan\n", "line 2: not 2 finite"),
        (b"x,y\n1,inf\n", "line 2: not 2 finite"),
        (b"x,y\n1,1e39\n", "line 2: not 2 finite"),
        (b"x,y\n\xff,1\n", "no CSV"),
        (b'x,y\n"1,1\n', "no CSV"),
        (b"x,y\n" + b"1,1\n" * 21, "more than 20 lines"),
    ],
)
def test_numbers_that_cannot_be_read_are_named(numbers, content, reason, monkeypatch):
    monkeypatch.setattr(user_files, "MAX_ROWS", 20)
    (numbers / "support.csv").write_bytes(content)
    with pytest.raises(InputError, match=f"support.csv.* {reason}"):
        read_numbers(numbers)
    (numbers / "support.csv").unlink()
    with pytest.raises(InputError, match=r"support.csv is no file"):
        read_numbers(numbers)
