import threading
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fuxian.datasets.archive import contents
from fuxian.datasets.catalogue import File
from fuxian.datasets.download import fetch
from fuxian.errors import PlatformError


@dataclass
class Server:
    """What the local server offers at every address, how it behaves, and what it was asked."""

    content: bytes
    url: str = ""
    etag: str | None = '"first"'
    modified: str | None = None
    ranges: bool = True
    break_after: int | None = None
    breaks: int = 0
    status: int | None = None
    lie_in_content_range: bool = False
    asked: list[tuple[str | None, str | None]] = field(default_factory=list)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted, condition = handler.headers.get("Range"), handler.headers.get("If-Range")
        self.asked.append((wanted, condition))
        if self.status is not None:
            handler.send_error(self.status)
            return
        start = 0
        if self.ranges and wanted and condition in (self.etag, self.modified):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(self.content):
                handler.send_error(416)
                return
        body = self.content[start:]
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(body)))
        if start:
            said = start + self.lie_in_content_range
            handler.send_header("Content-Range", f"bytes {said}-{len(self.content) - 1}/{len(self.content)}")
        if self.etag:
            handler.send_header("ETag", self.etag)
        if self.modified:
            handler.send_header("Last-Modified", self.modified)
        handler.end_headers()
        if self.break_after is not None and self.breaks > 0:
            self.breaks -= 1
            body = body[: self.break_after]
            handler.close_connection = True
        handler.wfile.write(body)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def packed(tmp_path, make_zip):
    """The published archive: half a megabyte that does not compress."""
    path = make_zip(tmp_path / "published.zip", {"a/1.png": b"one", "a/2.png": bytes(range(256)) * 2048}, 0)
    return path, contents(path)


@pytest.fixture
def server(packed):
    behaviour = Server(packed[0].read_bytes())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            behaviour.answer(self)

        def log_message(self, *_):
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    behaviour.url = f"http://127.0.0.1:{running.server_address[1]}/published.zip"
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield behaviour
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture
def file(packed, server):
    path, published = packed
    return File(name="data.zip", url=server.url, bytes=path.stat().st_size, contents=published)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data" / "set"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_whole_and_says_how_far_it_is(file, server, folder):
    reports = []
    fetch(file, folder, lambda done, total: reports.append((done, total)))
    assert (folder / "data.zip").read_bytes() == server.content
    assert names(folder) == ["data.zip"]
    size = len(server.content)
    assert reports[0] == (0, size)
    assert reports[-1] == (size, size)
    assert reports == sorted(reports)
    assert server.asked == [(None, None)]


@pytest.mark.parametrize(("etag", "modified"), [('"e"', None), (None, "Wed, 01 Jan 2020 00:00:00 GMT")])
def test_a_broken_connection_is_resumed_at_once(file, server, folder, etag, modified):
    server.etag, server.modified = etag, modified
    server.break_after, server.breaks = 100_000, 2
    fetch(file, folder)
    assert (folder / "data.zip").read_bytes() == server.content
    condition = etag or modified
    assert server.asked == [(None, None), ("bytes=100000-", condition), ("bytes=200000-", condition)]
    assert names(folder) == ["data.zip"]


def break_off(file, server, folder, after=100_000):
    """A first command that gets some bytes and then nothing more."""
    server.break_after, server.breaks = after, 1
    status = iter([None, 503])
    answer = server.answer

    def once(handler):
        server.status = next(status)
        answer(handler)

    server.answer = once
    with pytest.raises(PlatformError, match="goes on where this one stopped"):
        fetch(file, folder)
    server.answer, server.status = answer, None
    server.asked.clear()
    assert (folder / "data.zip.part").read_bytes() == server.content[:after]
    assert not (folder / "data.zip").exists()


def test_a_later_command_goes_on(file, server, folder):
    break_off(file, server, folder)
    reports = []
    fetch(file, folder, lambda done, total: reports.append((done, total)))
    assert server.asked == [("bytes=100000-", '"first"')]
    assert reports[0] == (100_000, len(server.content))
    assert (folder / "data.zip").read_bytes() == server.content
    assert names(folder) == ["data.zip"]


def test_a_file_that_changed_meanwhile_starts_again(file, server, folder):
    break_off(file, server, folder)
    server.etag = '"second"'
    fetch(file, folder)
    assert server.asked == [("bytes=100000-", '"first"')]
    assert (folder / "data.zip").read_bytes() == server.content


def test_a_server_without_ranges_starts_again(file, server, folder):
    break_off(file, server, folder)
    server.ranges = False
    fetch(file, folder)
    assert (folder / "data.zip").read_bytes() == server.content


def test_a_weak_etag_is_no_reason_to_join_bytes(file, server, folder):
    server.etag = 'W/"first"'
    break_off(file, server, folder)
    fetch(file, folder)
    assert server.asked == [(None, None)]
    assert (folder / "data.zip").read_bytes() == server.content


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"validator": "\\"first\\""}',
        b'{"validator": "\\"first\\"", "url": "https://example.org/other.zip"}',
        b'{"validator": "a\\nEvil: b"}',
        b'{"validator": "\\u590d"}',
    ],
)
def test_a_damaged_note_starts_again(file, server, folder, damage):
    break_off(file, server, folder)
    (folder / "data.zip.part.json").write_bytes(damage)
    fetch(file, folder)
    assert server.asked == [(None, None)]
    assert (folder / "data.zip").read_bytes() == server.content


def test_a_whole_part_file_is_only_checked(file, server, folder):
    break_off(file, server, folder)
    (folder / "data.zip.part").write_bytes(server.content)
    fetch(file, folder)
    assert server.asked == [(f"bytes={len(server.content)}-", '"first"')]
    assert (folder / "data.zip").read_bytes() == server.content


def test_a_wrong_part_file_is_never_accepted_and_then_forgotten(file, server, folder):
    break_off(file, server, folder)
    (folder / "data.zip.part").write_bytes(b"!" * 100_000)
    with pytest.raises(PlatformError, match="did not send the published archive"):
        fetch(file, folder)
    assert names(folder) == []
    fetch(file, folder)
    assert (folder / "data.zip").read_bytes() == server.content


def test_another_range_than_asked_for_is_refused(file, server, folder):
    break_off(file, server, folder)
    server.lie_in_content_range = True
    with pytest.raises(PlatformError, match="another range"):
        fetch(file, folder)
    assert names(folder) == []


def test_a_server_that_sends_something_else(file, server, folder, packed, make_zip):
    old = folder / "data.zip"
    folder.mkdir(parents=True)
    old.write_bytes(b"damaged, but mine")
    server.content = make_zip(packed[0].with_name("b.zip"), {"a/1.png": b"virus"}).read_bytes()
    with pytest.raises(PlatformError) as error:
        fetch(file, folder)
    assert_one_sentence_with_the_way_out(error, file, folder)
    assert "did not send the published archive" in str(error.value)
    assert names(folder) == ["data.zip"]
    assert old.read_bytes() == b"damaged, but mine"


def test_a_damaged_file_is_replaced(file, server, folder):
    folder.mkdir(parents=True)
    (folder / "data.zip").write_bytes(b"damaged")
    fetch(file, folder)
    assert (folder / "data.zip").read_bytes() == server.content


def test_a_server_that_never_stops_does_not_fill_the_disk(file, server, folder):
    server.content = bytes(2 * file.bytes + 1)
    with pytest.raises(PlatformError, match=f"sends more than {2 * file.bytes} bytes"):
        fetch(file, folder)
    assert names(folder) == []


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_a_refusal_is_told(file, server, folder, status):
    server.status = status
    with pytest.raises(PlatformError, match=f"answered {status}") as error:
        fetch(file, folder)
    assert_one_sentence_with_the_way_out(error, file, folder)
    assert len(server.asked) == 1


def test_a_server_that_always_breaks_off_is_given_up(file, server, folder):
    server.break_after, server.breaks = 1_000, 1_000
    with pytest.raises(PlatformError, match="could not be downloaded"):
        fetch(file, folder)
    assert (folder / "data.zip.part").read_bytes() == server.content[: 1_000 * len(server.asked)]
    assert len(server.asked) == 5
    server.ranges = False
    server.asked.clear()
    with pytest.raises(PlatformError, match="could not be downloaded"):
        fetch(file, folder)
    assert len(server.asked) == 1


def test_offline(file, folder):
    # Port 1 of this machine: nobody listens there.
    offline = File(name=file.name, url="http://127.0.0.1:1/a.zip", bytes=file.bytes, contents=file.contents)
    with pytest.raises(PlatformError) as error:
        fetch(offline, folder)
    assert_one_sentence_with_the_way_out(error, offline, folder)
    assert names(folder) == []


def test_a_folder_that_cannot_be_written(file, folder):
    folder.parent.mkdir(parents=True)
    folder.write_bytes(b"a file where the folder should be")
    with pytest.raises(PlatformError, match="FUXIAN_DATA"):
        fetch(file, folder)


def assert_one_sentence_with_the_way_out(error, file, folder):
    text = str(error.value)
    assert "\n" not in text
    assert file.url in text
    assert f"{file.contents.files} files" in text
    assert str(folder / file.name) in text


def test_the_first_mirror_that_answers_wins_and_all_are_checked(
    file, server, folder, tmp_path, packed, make_zip
):
    wrong = make_zip(tmp_path / "wrong.zip", {"a/1.png": b"virus"})
    mirrors = ("http://127.0.0.1:1/a.zip", wrong.as_uri(), packed[0].as_uri())
    server.status = 503
    fetch(replace(file, mirrors=mirrors), folder)
    assert (folder / "data.zip").read_bytes() == packed[0].read_bytes()
    assert names(folder) == ["data.zip"]
    with pytest.raises(PlatformError) as error:
        fetch(replace(file, mirrors=mirrors[:2]), folder)
    for words in ("answered 503", mirrors[0], "did not send the published archive"):
        assert words in str(error.value)


def test_bytes_of_two_mirrors_are_never_joined(file, server, folder, packed):
    break_off(file, server, folder)
    other = replace(file, url=f"{server.url}?other")
    fetch(other, folder)
    assert server.asked == [(None, None)]
    assert (folder / "data.zip").read_bytes() == packed[0].read_bytes()


def test_a_mirror_of_ones_own_is_asked_first(file, server, folder, packed, monkeypatch, tmp_path):
    (tmp_path / "mirror" / "set").mkdir(parents=True)
    (tmp_path / "mirror" / "set" / "data.zip").write_bytes(packed[0].read_bytes())
    monkeypatch.setenv("FUXIAN_MIRROR", str(tmp_path / "mirror"))
    fetch(file, folder)
    assert server.asked == []
    assert (folder / "data.zip").read_bytes() == packed[0].read_bytes()
