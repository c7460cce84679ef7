import numpy as np
import pytest
from PIL import Image, ImageDraw

LABELS = ["alpha", "beta", "gamma", "delta", "[red]"]


def _drawing(seed: int) -> Image.Image:
    """Three strokes as in Omniglot's pictures: 105 x 105 pixels of one bit, black on white."""
    rng = np.random.default_rng(seed)
    image = Image.new("1", (105, 105), 1)
    for points in rng.integers(5, 100, (3, 3, 2)):
        ImageDraw.Draw(image).line([tuple(point) for point in points.tolist()], fill=0, width=4)
    return image


@pytest.fixture(scope="session")
def drawing():
    """``drawing(seed)`` is a picture as Omniglot's."""
    return _drawing


@pytest.fixture
def pictures(tmp_path):
    """A folder of five labels, two support pictures each, and six query pictures."""
    folder = tmp_path / "pictures"
    for number, label in enumerate(LABELS):
        (folder / "support" / label).mkdir(parents=True)
        for shot in range(2):
            _drawing(10 * number + shot).save(folder / "support" / label / f"{shot}.png")
    (folder / "query").mkdir()
    for number in range(6):
        _drawing(100 + number).save(folder / "query" / f"{number}.png")
    return folder


@pytest.fixture
def numbers(tmp_path):
    """A folder of ten points of a sinusoid, and three places to predict at."""
    folder = tmp_path / "numbers"
    folder.mkdir()
    x = np.linspace(-5, 5, 10)
    lines = [f"{a},{b}" for a, b in zip(x, 3 * np.sin(x - 1), strict=True)]
    (folder / "support.csv").write_text("\n".join(["x,y", *lines, ""]))
    (folder / "query.csv").write_text("x\n-1\n0.5\n2e0\n")
    return folder


@pytest.fixture
def weights(tmp_path):
    """``weights(net)`` is a file of a network's weights."""
    from fuxian.weights import save_tensors

    def save(net):
        file = tmp_path / f"{type(net).__name__}.safetensors"
        save_tensors(file, {name: value.numpy() for name, value in net.state_dict().items()})
        return file

    return save
