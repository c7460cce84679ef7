"""Random submissions, for the test beside this file and for benchmarks/fuzz_submissions.py."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from fuxian.errors import InputError
from fuxian.submission.checklist import check
from fuxian.submission.log_lines import parse_log_lines
from fuxian.submission.manifest import TrainingLogFile, load_manifest
from fuxian.verify.entrant_output import shown
from fuxian.verify.entrant_weights import read_weights
from fuxian.verify.numbers import read_numbers
from fuxian.verify.reasons import Failed
from fuxian.verify.source import pin


def _hostile():
    path = Path(__file__).with_name("hostile_submissions.py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


hostile = _hostile()
ODD = st.one_of(
    st.text(max_size=40),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.lists(st.integers(), max_size=4),
    st.sampled_from(["{out}", "{nothing}", "..", "/", "\0", "a" * 3000, "9" * 400, "w.npz", "\x1b[2J"]),
)
VALUES = ODD.map(
    lambda value: str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')
)
LINES = [line for line in hostile.MANIFEST.splitlines() if line]


@st.composite
def manifests(draw):
    """The honest manifest with lines changed, dropped, doubled or moved, and bytes put in."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        how = draw(st.sampled_from(["value", "drop", "double", "move", "bytes"]))
        if how == "value":
            lines[at] = f"{lines[at].partition('=')[0]}= {draw(VALUES)}"
        elif how == "drop":
            del lines[at]
        elif how == "double":
            lines.insert(at, lines[at])
        elif how == "move":
            lines.append(lines.pop(at))
        else:
            lines[at] += draw(st.text(max_size=10))
    return "\n".join(lines).encode("utf-8", "replace")


@st.composite
def damaged(draw):
    """A file of weights with bytes changed, cut off or put in."""
    name, content = hostile.WEIGHTS[draw(st.sampled_from(sorted(SMALL)))]
    data = bytearray(content())
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        how = draw(st.sampled_from(["change", "cut", "insert"]))
        if how == "change" and data:
            data[at] = draw(st.integers(0, 255))
        elif how == "cut":
            del data[at : at + draw(st.integers(1, 40))]
        else:
            data[at:at] = draw(st.binary(max_size=12))
    return name, bytes(data)


SMALL = {
    kind
    for kind in hostile.WEIGHTS
    if not any(word in kind for word in ("700 MB", "30,000", "nested", "marks"))
}
WORDS = st.sampled_from(
    [
        "loss",
        "step",
        "epoch",
        "ips",
        "reader_cost",
        "batch_cost",
        ":",
        "=",
        " ",
        "[",
        "]",
        "/",
        "nan",
        "1e9",
        "-",
        "\t",
    ]
)
LOGS = st.lists(
    st.one_of(WORDS, st.integers().map(str), st.floats().map(str), st.text(max_size=5)), max_size=60
).map(" ".join)
NAMES = st.text(
    st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=30
).filter(lambda name: name not in (".", ".."))
TREES = st.dictionaries(NAMES, st.binary(max_size=60), max_size=5)
NUMBERS = st.tuples(
    st.sampled_from(["a.json", "a.csv", "a.npy"]),
    st.one_of(
        st.binary(max_size=80), st.text('[]{}0123456789.,e-"\n: nulatrefs', max_size=80).map(str.encode)
    ),
)
DOORS = {
    "manifest": manifests(),
    "weights": damaged(),
    "log": LOGS,
    "numbers": NUMBERS,
    "printed": st.binary(max_size=400),
    "tree": TREES,
    "check": manifests(),
}


def draw(count: int, seed: int) -> Iterator[tuple[str, object]]:
    """So many examples, of every door in turn; the same seed draws the same ones."""
    share = -(-count // len(DOORS))
    made = [
        (door, example) for door, strategy in DOORS.items() for example in _examples(strategy, share, seed)
    ]
    yield from made[:count]


def _examples(strategy, count: int, seed: int) -> list:
    drawn: list = []

    @seeded(seed)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(example):
        drawn.append(example)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        collect()
    return drawn


def take(door: str, example, place: Path) -> str:
    """``read`` or ``refused``, or what went wrong."""
    folder = place / "submission"
    shutil.rmtree(place, ignore_errors=True)
    hostile.write_honest(folder)
    try:
        if door in ("manifest", "check"):
            (folder / "fuxian.toml").write_bytes(example)
            load_manifest(folder) if door == "manifest" else check(folder)
        elif door == "weights":
            (folder / example[0]).write_bytes(example[1])
            read_weights(folder / example[0])
        elif door == "log":
            parse_log_lines(
                example, TrainingLogFile.model_construct(file="l", format="text", names={}), "a", "a log"
            )
        elif door == "numbers":
            (folder / example[0]).write_bytes(example[1])
            read_numbers(folder / example[0])
        elif door == "printed":
            assert len(shown(example)) <= 4000
        else:
            for name, content in example.items():
                if len(name.encode("utf-8")) < 250 and not (folder / name).exists():
                    (folder / name).write_bytes(content)
            pin(str(folder), place / "received")
    except (InputError, Failed) as error:
        said = str(error)
        if not said.isprintable() or len(said) > 3000:
            return f"its sentence cannot be shown: {said[:200]!a}"
        return "refused"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "read"
