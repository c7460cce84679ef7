import functools
import json
import threading
import zipfile
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typer.testing import CliRunner

from fuxian.cli.data import app
from fuxian.datasets import archive
from fuxian.datasets.catalogue import CATALOGUE, File, PublicDataset
from fuxian.errors import InputError, PlatformError


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def offered(tmp_path, monkeypatch):
    """A catalogue of one data set of two archives, offered by a local server; returns the data folder."""
    monkeypatch.setenv("FUXIAN_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "offered").mkdir()
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path / "offered"))
    )
    files = []
    for name in ("one", "two"):
        path = tmp_path / "offered" / f"{name}.zip"
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr(f"{name}/picture.png", name)
        url = f"http://127.0.0.1:{server.server_address[1]}/{path.name}"
        files.append(File(path.name, url, path.stat().st_size, archive.contents(path)))
    for name in list(CATALOGUE):
        monkeypatch.delitem(CATALOGUE, name)
    monkeypatch.setitem(
        CATALOGUE, "toy", PublicDataset("toy", "A toy", "http://toy", "CC0", "Nobody (2020).", tuple(files))
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield tmp_path / "data"
    server.shutdown()
    thread.join()
    server.server_close()


def run(*arguments):
    """The command's result; an error of Fuxian is raised, as the main command turns it into a sentence."""
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def document(*arguments, exit_code=0):
    result = run(*arguments, "--json")
    assert result.exit_code == exit_code
    return json.loads(result.stdout)


def states(listed):
    (dataset,) = listed["datasets"]
    return dataset["state"], [file["state"] for file in dataset["files"]]


def test_list_get_list(offered):
    assert states(document("list")) == ("absent", ["absent", "absent"])
    got = document("get", "toy")
    assert got == {
        "name": "toy",
        "state": "present",
        "path": str(offered / "toy"),
        "downloaded": ["one.zip", "two.zip"],
        "unpacked": None,
    }
    listed = document("list")
    assert listed["root"] == str(offered)
    assert states(listed) == ("present", ["present", "present"])
    assert listed["datasets"][0]["licence"] == "CC0"
    assert listed["datasets"][0]["bytes"] == sum(p.stat().st_size for p in (offered / "toy").iterdir())


def test_get_takes_only_what_is_missing_or_damaged(offered):
    run("get", "toy")
    kept = (offered / "toy" / "one.zip").stat()
    (offered / "toy" / "two.zip").write_bytes(b"PK, but not really")
    assert states(document("list", exit_code=1)) == ("damaged", ["present", "damaged"])
    assert document("get", "toy")["downloaded"] == ["two.zip"]
    assert (offered / "toy" / "one.zip").stat().st_ino == kept.st_ino
    (offered / "toy" / "two.zip").unlink()
    assert states(document("list")) == ("absent", ["present", "absent"])
    assert document("get", "toy")["downloaded"] == ["two.zip"]
    assert document("get", "toy")["downloaded"] == []


def test_get_works_offline_when_all_is_there(offered, monkeypatch):
    run("get", "toy")
    toy = CATALOGUE["toy"]
    gone = tuple(replace(file, url="http://127.0.0.1:1/gone.zip") for file in toy.files)
    monkeypatch.setitem(CATALOGUE, "toy", replace(toy, files=gone))
    assert document("get", "toy")["downloaded"] == []
    (offered / "toy" / "one.zip").unlink()
    with pytest.raises(PlatformError, match=r"http://127.0.0.1:1/gone\.zip could not be downloaded"):
        run("get", "toy")


def test_get_unpacks_on_demand(offered, tmp_path):
    assert document("get", "toy", "--unpack", str(tmp_path / "out"))["unpacked"] == str(tmp_path / "out")
    assert (tmp_path / "out" / "one" / "picture.png").read_text() == "one"
    assert (tmp_path / "out" / "two" / "picture.png").read_text() == "two"
    with pytest.raises(InputError, match="not an empty folder"):
        run("get", "toy", "--unpack", str(tmp_path / "out"))


def test_words_for_people(offered):
    listed = run("list").stdout
    assert all(word in listed for word in ("toy", "absent", "CC0"))
    got = run("get", "toy")
    assert str(offered / "toy") in got.stdout
    assert "Nobody (2020)." in got.stdout
    assert "one.zip" not in got.stdout
    assert "one.zip" in got.stderr


def test_path_prints_the_folder_alone(offered):
    assert run("path", "toy").stdout == f"{offered / 'toy'}\n"
    assert document("path", "toy") == {"name": "toy", "path": str(offered / "toy"), "exists": False}
    run("get", "toy")
    assert document("path", "toy")["exists"] is True


@pytest.mark.parametrize("command", ["get", "path"])
@pytest.mark.parametrize("name", ["nope", "../toy", ""])
def test_an_unknown_name_is_told_with_the_known_ones(offered, command, name):
    with pytest.raises(InputError, match="the names are: toy"):
        run(command, name)


@pytest.mark.parametrize("command", ["list", "get", "path"])
def test_help_has_an_example(command):
    assert f"Example: fuxian data {command}" in run(command, "--help").stdout
