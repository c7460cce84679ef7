"""Receiving a submission: only plain files arrive, and nothing of it is run."""

import os
import subprocess
import threading
from pathlib import Path

import pytest

from fuxian import deadline
from fuxian.errors import InputError, PlatformError, Stopped
from fuxian.verify.reasons import Failed, Reason
from fuxian.verify.source import pin, tree_digest


@pytest.fixture
def entrant(tmp_path):
    folder = tmp_path / "entrant"
    (folder / "tools").mkdir(parents=True)
    (folder / "tools/eval.py").write_text("print('hi')\n")
    (folder / "README.md").write_bytes(b"crlf\r\n$Id$\n")
    return folder


@pytest.fixture
def repository(entrant):
    git(entrant, "init", "-q")
    commit(entrant)
    return entrant


def git(folder, *arguments):
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run([*command, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder):
    git(folder, "add", "-A", "-f")
    git(folder, "-c", "core.hooksPath=/dev/null", "commit", "-qm", "all")
    return git(folder, "rev-parse", "HEAD")


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def refused(submission, tmp_path):
    with pytest.raises(Failed) as caught:
        pin(str(submission), tmp_path / "place")
    assert "\n" not in caught.value.sentence
    return caught.value.reason


def test_a_folder_is_copied_without_what_tools_leave(entrant, tmp_path):
    (entrant / "__pycache__").mkdir()
    (entrant / "__pycache__/x.pyc").write_bytes(b"x")
    source = pin(str(entrant), tmp_path / "place")
    assert (source.commit, source.bundle) == (None, None)
    assert names(source.folder) == ["README.md", "tools/eval.py"]
    assert source.folder.joinpath("README.md").read_bytes() == b"crlf\r\n$Id$\n"


def test_a_repository_is_taken_at_its_head_with_a_bundle(repository, tmp_path):
    (repository / "README.md").write_text("changed, not committed")
    source = pin(str(repository), tmp_path / "place")
    assert source.commit == git(repository, "rev-parse", "HEAD")
    assert source.folder.joinpath("README.md").read_bytes() == b"crlf\r\n$Id$\n"
    git(tmp_path, "clone", "-q", "-b", "submission", str(source.bundle), "again")
    assert git(tmp_path / "again", "rev-parse", "HEAD") == source.commit


def test_what_is_not_committed_is_named(repository, tmp_path):
    (repository / "README.md").write_text("changed, not committed")
    (repository / "tools/new.py").write_text("")
    (repository / ".gitignore").write_text("/output/\n")
    commit_of_all = ["add", ".gitignore"], ["commit", "-qm", "b"]
    for command in commit_of_all:
        git(repository, *command)
    for ignored in ("output", "__pycache__"):
        (repository / ignored).mkdir()
        (repository / ignored / "x").write_text("x")
    assert pin(str(repository), tmp_path / "place").differing == ("README.md", "tools/new.py")
    git(repository, "add", "README.md", "tools")
    git(repository, "commit", "-qm", "c")
    assert pin(str(repository), tmp_path / "again").differing == ()


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("fatal: unable to access 'https://h/x/': Could not resolve host: h", PlatformError),
        ("fatal: unable to access 'https://h/x/': The requested URL returned error: 503", PlatformError),
        ("error: RPC failed; curl 92 HTTP/2 stream 5 was not closed\nfatal: early EOF", PlatformError),
        ("fatal: unable to access 'https://h/x/': The requested URL returned error: 403", Failed),
        ("fatal: repository 'https://h/x/' not found", Failed),
        ("fatal: remote error: upload-pack: not our ref 0000", Failed),
    ],
)
def test_a_network_that_fails_is_not_the_submissions_fault(tmp_path, monkeypatch, said, error):
    """As git says it: there is no server here to ask."""
    program = tmp_path / "git"
    program.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{said}\nEND\nexit 128\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(error):
        pin(f"https://example.org/x/y@{'0' * 40}", tmp_path / "place")


def test_a_server_that_does_not_answer_is_not_the_submissions_fault(tmp_path):
    with pytest.raises(PlatformError, match="cannot be fetched"):
        pin(f"https://127.0.0.1:1/x/y@{'0' * 40}", tmp_path / "place")


def test_a_repository_that_lost_an_object_is_its_owners_fault(repository, tmp_path):
    """It is not the platform's: the same repository would fail again, and cost nothing."""
    blob = git(repository, "rev-parse", "HEAD:README.md")
    (repository / ".git/objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(Failed, match=f"damaged or incomplete.*{blob}"):
        pin(str(repository), tmp_path / "place")


def test_hooks_filters_and_attributes_do_nothing(repository, tmp_path):
    """Every place where the entrant's repository can name a program."""
    witness = tmp_path / "WITNESS"
    program = tmp_path / "evil.sh"
    program.write_text(f"#!/bin/sh\ntouch {witness}\ncat\n")
    program.chmod(0o755)
    hooks = repository / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    for hook in ("post-checkout", "pre-auto-gc", "reference-transaction", "post-index-change", "pre-receive"):
        os.link(program, hooks / hook) if not (hooks / hook).exists() else None
    for setting in ("core.fsmonitor", "uploadpack.packObjectsHook", "filter.evil.smudge", "core.sshCommand"):
        git(repository, "config", setting, str(program))
    for setting in ("filter.evil.clean", "core.pager", "core.editor", "gpg.program", "credential.helper"):
        git(repository, "config", setting, str(program))
    (repository / ".gitattributes").write_text(
        "* filter=evil eol=crlf ident export-subst\ntools/** export-ignore\n"
    )
    git(repository, "-c", "filter.evil.clean=cat", "-c", "core.fsmonitor=false", "add", "-A")
    git(
        repository,
        "-c",
        "filter.evil.clean=cat",
        "-c",
        "core.fsmonitor=false",
        "commit",
        "-q",
        "-m",
        "b",
        "--no-verify",
    )
    witness.unlink(missing_ok=True)
    source = pin(str(repository), tmp_path / "place")
    assert not witness.exists()
    assert names(source.folder) == [".gitattributes", "README.md", "tools/eval.py"]
    assert source.folder.joinpath("tools/eval.py").read_bytes() == b"print('hi')\n"


def test_a_submodule_is_not_fetched(repository, tmp_path):
    witness = tmp_path / "WITNESS"
    (repository / ".gitmodules").write_text(
        f'[submodule "x"]\n\tpath = x\n\turl = ext::sh -c "touch {witness}"\n'
    )
    git(repository, "add", ".gitmodules")
    git(repository, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},x")
    git(repository, "commit", "-qm", "a submodule")
    try:
        source = pin(str(repository), tmp_path / "place")
    except Failed as error:
        assert error.reason is Reason.LAYOUT  # git's own check of what it fetches
    else:
        assert names(source.folder) == [".gitmodules", "README.md", "tools/eval.py"]
    assert not witness.exists()


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../etc/passwd", "nowhere", "..", "tools"])
@pytest.mark.parametrize("as_repository", [False, True])
def test_a_link_that_is_no_file_of_the_submission_is_refused(entrant, tmp_path, target, as_repository):
    (entrant / "link").symlink_to(target)
    if as_repository:
        git(entrant, "init", "-q")
        commit(entrant)
    assert refused(entrant, tmp_path) is Reason.UNSAFE


def test_a_link_to_a_file_of_the_submission_arrives_as_that_file(entrant, tmp_path):
    (entrant / "tools/link.md").symlink_to("../README.md")
    source = pin(str(entrant), tmp_path / "place")
    copy = source.folder / "tools/link.md"
    assert not copy.is_symlink()
    assert copy.read_bytes() == (entrant / "README.md").read_bytes()


def test_a_pipe_is_refused_and_not_read(entrant, tmp_path):
    os.mkfifo(entrant / "pipe")
    assert refused(entrant, tmp_path) is Reason.UNSAFE


@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_git_folder_that_lies_elsewhere_is_refused(repository, tmp_path, kind):
    (repository / ".git").rename(tmp_path / "elsewhere")
    if kind == "link":
        (repository / ".git").symlink_to(tmp_path / "elsewhere")
    else:
        (repository / ".git").write_text(f"gitdir: {tmp_path / 'elsewhere'}\n")
    assert refused(repository, tmp_path) is Reason.UNSAFE


def test_a_repository_within_is_refused(entrant, tmp_path):
    git(entrant, "init", "-q", "tools/inner")
    assert refused(entrant, tmp_path) is Reason.UNSAFE


@pytest.mark.parametrize("name", [b"bad\xff.py", b"esc\x1b[31m.py", "right\u202eto-left.py".encode()])
def test_names_that_mislead_are_refused(entrant, tmp_path, name):
    Path(os.fsdecode(bytes(entrant) + b"/" + name)).write_text("x")
    assert refused(entrant, tmp_path) is Reason.UNSAFE


def test_a_long_path_is_refused(entrant, tmp_path):
    deep = entrant.joinpath(*["d" * 100] * 6)
    deep.mkdir(parents=True)
    (deep / "file").write_text("x")
    assert refused(entrant, tmp_path) is Reason.UNSAFE


def test_an_empty_repository_is_refused(entrant, tmp_path):
    git(entrant, "init", "-q")
    assert refused(entrant, tmp_path) is Reason.LAYOUT


@pytest.mark.parametrize(
    "submission",
    [
        "nowhere",
        "http://example.org/a@" + "0" * 40,
        "https://example.org/a@main",
        "--upload-pack=touch",
        "ext::sh@" + "0" * 40,
    ],
)
def test_what_is_no_submission_is_one_sentence(tmp_path, submission):
    with pytest.raises(InputError, match="name a submission"):
        pin(submission, tmp_path / "place")


def test_the_digest_sees_every_name_and_byte(entrant):
    before = tree_digest(entrant)
    assert tree_digest(entrant) == before
    (entrant / "README.md").rename(entrant / "README.txt")
    renamed = tree_digest(entrant)
    (entrant / "README.txt").write_bytes(b"crlf\r\n$Ie$\n")
    assert len({before, renamed, tree_digest(entrant)}) == 3


@pytest.mark.parametrize("form", ["{}@{}", "file://{}@{}"])
def test_a_local_repository_is_taken_at_any_commit(repository, tmp_path, form):
    first = git(repository, "rev-parse", "HEAD")
    (repository / "later.txt").write_text("later")
    commit(repository)
    source = pin(form.format(repository, first), tmp_path / "place")
    assert source.commit == first
    assert names(source.folder) == ["README.md", "tools/eval.py"]


def test_a_folder_of_a_repository_can_be_the_submission(repository, tmp_path):
    head = git(repository, "rev-parse", "HEAD")
    source = pin(f"{repository}@{head}#tools", tmp_path / "place")
    assert names(source.folder) == ["eval.py"]
    assert refused(f"{repository}@{head}#nowhere", tmp_path / "again") is Reason.LAYOUT
    with pytest.raises(InputError, match="no folder of the repository"):
        pin(f"{repository}@{head}#../x", tmp_path / "out")


def test_a_repository_that_borrows_objects_is_refused(repository, tmp_path):
    (repository / ".git/objects/info/alternates").write_text("/srv/secret/objects\n")
    assert refused(repository, tmp_path) is Reason.UNSAFE


def test_a_git_folder_with_links_is_refused(repository, tmp_path):
    (repository / ".git/objects/ff").symlink_to("/srv/other/.git/objects/ff")
    assert refused(repository, tmp_path) is Reason.UNSAFE


def test_a_tree_that_unfolds_is_refused_before_it_is_written(repository, tmp_path):
    """Five levels of ten names for the same folder: 100,000 files from six objects."""
    blob = git(repository, "hash-object", "-w", "README.md")

    def tree(kind, mode, object):
        lines = "".join(f"{mode} {kind} {object}\tf{number}\n" for number in range(10))
        made = subprocess.run(
            ["git", "-C", str(repository), "mktree"], input=lines, text=True, check=True, capture_output=True
        )
        return made.stdout.strip()

    made = tree("blob", "100644", blob)
    for _ in range(4):
        made = tree("tree", "040000", made)
    head = git(repository, "commit-tree", made, "-m", "bomb")
    git(repository, "reset", "-q", "--soft", head)
    assert refused(repository, tmp_path) is Reason.LAYOUT
    assert not list((tmp_path / "place/work").iterdir())


def test_no_descriptor_is_left_open(entrant, tmp_path):
    for number in range(5):
        (entrant / f"d{number}").mkdir()
    os.mkfifo(entrant / "a-pipe")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    refused(entrant, tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_cancelling_reaches_the_copying(entrant, tmp_path):
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Stopped), deadline.within(None, cancel):
        pin(str(entrant), tmp_path / "place")
