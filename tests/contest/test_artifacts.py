"""Bundles and evidence lie in the contest's folder or in an object store."""

import socket

import pytest

from fuxian.contest.artifacts import Artifacts
from fuxian.errors import InputError, PlatformError


@pytest.fixture(scope="module")
def s3():
    """The address of a real S3 server process's bucket."""
    server = pytest.importorskip("moto.server", reason="moto is not installed: no S3 server to test with")
    pytest.importorskip("s3fs", reason="s3fs is not installed: fsspec cannot reach S3")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=port)
    running.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        import boto3

        boto3.client("s3").create_bucket(Bucket="contest")
        yield "s3://contest/2021"
    running.stop()


@pytest.fixture(params=["folder", "s3"])
def artifacts(request, tmp_path):
    url = str(tmp_path / "artifacts") if request.param == "folder" else request.getfixturevalue("s3")
    return Artifacts(url)


def test_what_was_put_is_got(artifacts, tmp_path):
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(b"bundle" * 1000)
    name = "bundles/ab/abcd.bundle"
    assert not artifacts.has(name)
    artifacts.put(name, source)
    assert artifacts.has(name) and not artifacts.has("bundles/ab/other.bundle")
    artifacts.get(name, back)
    assert back.read_bytes() == source.read_bytes()
    source.write_bytes(b"anew")
    artifacts.put(name, source)
    artifacts.get(name, back)
    assert back.read_bytes() == b"anew"


def test_what_is_not_there_is_a_failure_of_the_platform(artifacts, tmp_path):
    with pytest.raises(PlatformError, match="evidence/1"):
        artifacts.get("evidence/1", tmp_path / "back")


def test_an_address_that_nothing_can_read_is_refused():
    with pytest.raises(InputError, match="nowhere"):
        Artifacts("nowhere://bucket")
