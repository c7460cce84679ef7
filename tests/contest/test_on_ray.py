"""Verifications on a real Ray cluster of several nodes, on this machine's loopback."""

import os
import threading
import time
from dataclasses import replace

import pytest

from fuxian.contest.evaluation import Result, Work
from fuxian.contest.on_ray import Room, on_ray
from fuxian.errors import InputError, PlatformError

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'fuxian[cluster]'")
ROOM = Room(cpus=1, gpus=0, memory=0.1)


@pytest.fixture(scope="module")
def cluster():
    """A head without processors and two nodes with one each: two verifications at once, on two nodes."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        small = {"object_store_memory": 80 << 20, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
        nodes = [cluster.add_node(num_cpus=1, memory=1 << 30, object_store_memory=80 << 20) for _ in range(2)]
        cluster.wait_for_nodes()
        yield cluster, nodes
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture
def work(tmp_path):
    bundle = tmp_path / "submission.bundle"
    bundle.write_bytes(b"a bundle")
    terms = tmp_path / "contest" / "terms.toml"
    terms.parent.mkdir()
    terms.write_text('paper = "organiser"\n')
    (terms.parent / "organiser").mkdir()
    (terms.parent / "organiser" / "paper.toml").write_text("id = 1\n")
    (terms.parent / "signing.key").write_text("secret")
    return Work(
        submission=1,
        paper="toy",
        claim=None,
        terms=str(terms),
        bundle=str(bundle),
        commit="c" * 40,
        **{"secret": "00"},
        look=1,
        looks=1,
        alpha=0.05,
    )


def lasting(work, units):
    """The work, whose stand-in takes so many units of three seconds."""
    return replace(work, **{"secret": f"{units:02x}"})


def stand_in():
    """An evaluation that says where it ran and what it was given. Made here, so that it travels by value."""

    def evaluate(work, results, cancel, progress):
        import time
        from pathlib import Path

        import ray

        from fuxian.contest.evaluation import Result

        progress("predict")
        ends = time.monotonic() + 3 * int(work.secret, 16)
        while time.monotonic() < ends:
            if cancel.is_set():
                return Result("inconclusive", "CANCELLED", "", cancelled=True)
            time.sleep(0.05)
        results.mkdir()
        terms = Path(work.terms)
        beside = sorted(str(file.relative_to(terms.parent)) for file in terms.parent.rglob("*"))
        (results / "evidence.json").write_text("{}")
        node = ray.get_runtime_context().get_node_id()
        report = {"node": node, "bundle": Path(work.bundle).read_text(), "terms": beside}
        return Result("accepted", "OK", "", report=report, evidence=results)

    return evaluate


def test_a_verification_runs_on_a_node_and_its_evidence_comes_back(cluster, work, tmp_path):
    heard = []
    evaluate = on_ray(cluster[0].address, ROOM, stand_in())
    result = evaluate(work, tmp_path / "evidence", threading.Event(), heard.append)
    assert result.verdict == "accepted"
    assert result.report["node"] in {node.node_id for node in cluster[1]}
    assert result.report["bundle"] == "a bundle"
    assert result.report["terms"] == ["organiser", "organiser/paper.toml", "terms.toml"], "and no key"
    assert result.evidence == tmp_path / "evidence"
    assert (result.evidence / "evidence.json").read_text() == "{}"


def test_a_cancelled_verification_ends_early(cluster, work, tmp_path):
    cancel, began = threading.Event(), time.monotonic()
    evaluate = on_ray(cluster[0].address, ROOM, stand_in())

    def heard(what):
        if what == "predict":
            cancel.set()

    result = evaluate(lasting(work, 255), tmp_path / "evidence", cancel, heard)
    assert result.cancelled and time.monotonic() - began < 300


def test_a_lost_node_is_the_platforms_failure_and_another_serves(cluster, work, tmp_path):
    whole, nodes = cluster
    evaluate = on_ray(whole.address, ROOM, stand_in())
    running = {}

    def go(name):
        def heard(what):
            if what == "predict":
                started.release()

        try:
            running[name] = evaluate(lasting(work, 5), tmp_path / name, threading.Event(), heard)
        except PlatformError as error:
            running[name] = error

    started = threading.Semaphore(0)
    threads = [threading.Thread(target=go, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for _ in threads:
        started.acquire(timeout=120)
    whole.remove_node(nodes[1], allow_graceful=False)
    for thread in threads:
        thread.join(timeout=240)
    lost = [found for found in running.values() if isinstance(found, PlatformError)]
    done = [found for found in running.values() if isinstance(found, Result)]
    assert len(lost) == 1 and "lost the verification" in str(lost[0])
    assert len(done) == 1 and done[0].report["node"] == nodes[0].node_id


def test_without_a_cluster_it_is_said():
    if ray.is_initialized():
        ray.shutdown()
    os.environ.pop("RAY_ADDRESS", None)
    with pytest.raises(InputError, match="no Ray cluster answers"):
        on_ray("127.0.0.1:1", ROOM)
