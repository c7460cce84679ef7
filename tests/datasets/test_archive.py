import hashlib
import stat
import struct
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuxian.datasets import archive
from fuxian.datasets.archive import Contents, check, contents, unpack
from fuxian.errors import InputError, PlatformError

names = st.from_regex(r"[a-e]{1,3}(/[a-e]{1,3}){0,2}\.png", fullmatch=True)
trees = st.dictionaries(names, st.binary(max_size=50), min_size=1, max_size=8)


def info(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    # The constructor cleans names; a hostile archive does not.
    made.filename = name
    made.create_system = 3
    made.external_attr = mode << 16
    return made


def assert_refused(path: Path, saying: str) -> None:
    """Every public door refuses the archive in one sentence, and nothing is written."""
    before = sorted(path.parent.rglob("*"))
    for door in (contents, lambda p: check(p, Contents(1, 1, "")), lambda p: unpack([p], p.parent / "out")):
        with pytest.raises(InputError, match=saying) as error:
            door(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
    assert sorted(path.parent.rglob("*")) == before


def test_contents_are_those_of_sha256sum(tmp_path, make_zip):
    path = make_zip(tmp_path / "a.zip", {"b/2.png": b"two", "b/1.png": b"one"})
    lines = "".join(
        f"{hashlib.sha256(data).hexdigest()}  {name}\n"
        for name, data in (("b/1.png", b"one"), ("b/2.png", b"two"))
    )
    assert contents(path) == Contents(files=2, bytes=6, sha256=hashlib.sha256(lines.encode()).hexdigest())


@given(trees, st.randoms())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_contents_do_not_depend_on_the_packing(make_zip, make_raw_zip, tree, random):
    with tempfile.TemporaryDirectory() as folder:
        plain = contents(make_zip(Path(folder, "a.zip"), tree))
        entries = [(info(name), data) for name, data in tree.items()]
        for made, _ in entries:
            made.date_time = (random.randint(1980, 2100), 1, 1, 0, 0, 0)
            made.compress_type = random.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
        entries += [(info("empty/", stat.S_IFDIR | 0o755), b"")]
        entries += [(info("__MACOSX/a/._b.png"), b"litter"), (info("a/.DS_Store"), b"litter")]
        random.shuffle(entries)
        assert contents(make_raw_zip(Path(folder, "b.zip"), entries)) == plain


@given(trees, st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_change_changes_the_contents(make_zip, tree, data):
    changed = dict(tree)
    name = data.draw(st.sampled_from(sorted(tree)))
    match data.draw(st.sampled_from(["bytes", "name", "gone", "more"])):
        case "bytes":
            changed[name] += b"!"
        case "name":
            changed["new/" + name] = changed.pop(name)
        case "gone":
            del changed[name]
        case "more":
            changed["new/" + name] = b""
    with tempfile.TemporaryDirectory() as folder:
        published = contents(make_zip(Path(folder, "a.zip"), tree))
        check(Path(folder, "a.zip"), published)
        make_zip(Path(folder, "b.zip"), changed)
        assert contents(Path(folder, "b.zip")) != published
        with pytest.raises(InputError, match="download it again"):
            check(Path(folder, "b.zip"), published)


def test_check_sees_swapped_files_of_one_size(tmp_path, make_zip):
    published = contents(make_zip(tmp_path / "a.zip", {"1": b"one", "2": b"two"}))
    make_zip(tmp_path / "b.zip", {"1": b"two", "2": b"one"})
    with pytest.raises(InputError, match="not the published ones"):
        check(tmp_path / "b.zip", published)


@given(trees)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_unpack_writes_the_files_that_count(make_zip, tree):
    with tempfile.TemporaryDirectory() as folder:
        path = make_zip(Path(folder, "a.zip"), tree | {"__MACOSX/x": b"litter"})
        unpack([path], Path(folder, "deep/out"))
        out = Path(folder, "deep/out")
        assert {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()} == tree
        assert [p.name for p in Path(folder, "deep").iterdir()] == ["out"]


def test_unpack_gives_no_permission_the_archive_asks_for(tmp_path, make_raw_zip):
    path = make_raw_zip(tmp_path / "a.zip", [(info("tool", stat.S_IFREG | stat.S_ISUID | 0o777), b"#!")])
    unpack([path], tmp_path / "out")
    assert not (tmp_path / "out" / "tool").stat().st_mode & (stat.S_ISUID | 0o111)


def test_unpack_joins_archives_and_refuses_those_that_overlap(tmp_path, make_zip):
    one = make_zip(tmp_path / "1.zip", {"a/1": b"1"})
    two = make_zip(tmp_path / "2.zip", {"a/2": b"2"})
    unpack([one, two], tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out" / "a").iterdir()) == ["1", "2"]
    with pytest.raises(PlatformError, match="exists"):
        unpack([one, two, one], tmp_path / "again")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1.zip", "2.zip", "out"]


def test_unpack_refuses_a_folder_that_holds_something(tmp_path, make_zip):
    path = make_zip(tmp_path / "a.zip", {"a": b"new"})
    (tmp_path / "out").mkdir()
    unpack([path], tmp_path / "out")
    (tmp_path / "out" / "a").write_bytes(b"mine")
    with pytest.raises(InputError, match="not an empty folder"):
        unpack([path], tmp_path / "out")
    with pytest.raises(InputError, match="not an empty folder"):
        unpack([path], path)
    assert (tmp_path / "out" / "a").read_bytes() == b"mine"


@pytest.mark.parametrize(
    "name",
    [
        "../out.txt",
        "a/../../out.txt",
        "a/..",
        "..",
        "a/./b",
        "a//b",
        "/etc/passwd",
        "//host/share",
        "C:/windows",
        "C:out",
        "..\\out.txt",
        "a\\b",
        "a\nb",
        "a\x7fb",
        "nul",
        "a/CON.txt",
        "a/b.",
        "a/b ",
        "x" * 300,
        "d/" * 600 + "x",
    ],
)
def test_names_that_lead_elsewhere_are_refused(tmp_path, make_raw_zip, name):
    path = make_raw_zip(tmp_path / "a.zip", [(info("good"), b""), (info(name), b"evil")])
    assert_refused(path, "is unsafe: its entry")


def test_a_name_cut_at_its_nul_is_refused(tmp_path, make_raw_zip):
    path = make_raw_zip(tmp_path / "a.zip", [(info("good.png?evil"), b"")])
    path.write_bytes(path.read_bytes().replace(b"good.png?", b"good.png\0"))
    assert_refused(path, "control character")


def test_a_folder_entry_may_not_lead_elsewhere_either(tmp_path, make_raw_zip):
    assert_refused(
        make_raw_zip(tmp_path / "a.zip", [(info("../x/", stat.S_IFDIR | 0o755), b"")]), "leads out"
    )


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_are_refused(tmp_path, make_raw_zip, kind):
    assert_refused(make_raw_zip(tmp_path / "a.zip", [(info("a", kind | 0o777), b"/etc")]), "a link, a device")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("first", "second"), [("a/b", "a/b"), ("a/b", "A/B")])
def test_duplicate_names_are_refused(tmp_path, make_raw_zip, first, second):
    path = make_raw_zip(tmp_path / "a.zip", [(info(first), b"1"), (info(second), b"2")])
    assert_refused(path, "appears twice")


def test_a_name_that_is_file_and_folder_is_refused(tmp_path, make_raw_zip):
    path = make_raw_zip(tmp_path / "a.zip", [(info("a"), b"1"), (info("a/b"), b"2")])
    assert_refused(path, "both a file and a folder")


def test_an_encrypted_entry_is_refused(tmp_path, make_zip):
    path = make_zip(tmp_path / "a.zip", {"a": b"secret"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x03\x04") + 6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert_refused(path, "is encrypted")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(tmp_path, make_zip, method):
    assert_refused(make_zip(tmp_path / "a.zip", {"a": b"data"}, method), "another method than deflate")


def test_a_bomb_is_refused_unread(tmp_path, make_zip):
    assert_refused(make_zip(tmp_path / "a.zip", {"a": bytes(20_000_000)}), "would unpack to 20000000 bytes")


def test_many_small_bombs_are_refused(tmp_path, make_zip):
    path = make_zip(tmp_path / "a.zip", {str(i): bytes(500_000) for i in range(40)})
    assert_refused(path, "would unpack to 20000000 bytes")


def test_too_many_entries_are_refused(tmp_path, make_zip, monkeypatch):
    monkeypatch.setattr(archive, "MAX_FILES", 3)
    assert contents(make_zip(tmp_path / "a.zip", dict.fromkeys("abc", b""))).files == 3
    assert_refused(make_zip(tmp_path / "a.zip", dict.fromkeys("abcd", b"")), "lists 4 entries")


def test_an_entry_that_hides_its_size_yields_no_more_than_it_declares(tmp_path, make_zip):
    path = make_zip(tmp_path / "a.zip", {"a": bytes(20_000_000)})
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<L", data, data.index(signature) + offset, 1)
    path.write_bytes(data)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match="not a whole zip archive"):
        unpack([path], tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == before


def test_no_zip_archive_at_all(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"<html>Not found</html>")
    assert_refused(tmp_path / "a.zip", "not a whole zip archive")
    with pytest.raises(InputError, match="is not there"):
        contents(tmp_path / "b.zip")


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_damaged_archive_never_passes(make_zip, data):
    """Cut short or with a byte changed, it is refused, or what counts of it is unharmed."""
    with tempfile.TemporaryDirectory() as folder:
        path = make_zip(Path(folder, "a.zip"), {"a/1.png": b"picture one", "a/2.png": b"picture two"})
        published, whole = contents(path), path.read_bytes()
        at = data.draw(st.integers(0, len(whole) - 1))
        if data.draw(st.booleans()):
            path.write_bytes(whole[:at])
        else:
            other = data.draw(st.integers(1, 255)) ^ whole[at]
            path.write_bytes(whole[:at] + bytes([other]) + whole[at + 1 :])
        try:
            check(path, published)
        except InputError:
            return
        unpack([path], Path(folder, "out"))
        assert Path(folder, "out/a/1.png").read_bytes() == b"picture one"
        assert Path(folder, "out/a/2.png").read_bytes() == b"picture two"


@given(st.lists(st.text(st.sampled_from("ab./\\:~\0 \n"), min_size=1, max_size=12), min_size=1, max_size=3))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_whatever_the_names_nothing_is_written_outside(make_raw_zip, entries):
    with tempfile.TemporaryDirectory() as folder:
        inner = Path(folder, "1/2/3")
        inner.mkdir(parents=True)
        path = make_raw_zip(inner / "a.zip", [(info(name), b"x") for name in entries])
        try:
            unpack([path], inner / "out")
        except InputError:
            assert [p.name for p in inner.iterdir()] == ["a.zip"]
        outside = {p for p in Path(folder).rglob("*") if not p.is_relative_to(inner / "out")}
        assert outside == {Path(folder, "1"), Path(folder, "1/2"), inner, path}
