"""A contest from end to end through its commands.

    python benchmarks/contest_walk.py [--database postgresql] [--engine ray] [--json]

Four teams enter the class's contest, whose paper is MAML. In this order they submit a worse checkpoint, a cheat, our
MAML, and our MAML once more. The cheat is ours without weights and with a program that prints a good figure, or the
folder given with --cheat. The right one wins, the last is void, mails wait in the outbox, and
the audit recomputes the winner from the log. With PostgreSQL two workers serve, and one is killed in the midst of a
verification. With Ray, verifications are placed on a cluster of two nodes that is made for it. Needs Omniglot.

The terms do not ask for the training to be shown: MAML's committed weights are older than the chains of hashes that a
ruling replays. What such a submission shows is that the weights handed in reach the figure on a test drawn after the
commit, in the organiser's own model, and that worthless weights do not; not that they were trained from a seed. Which
it must be is for the organiser to decide, in ``must_pass``. Steps that apply are run all the same, and fail it where
they fail; of the log, one step is replayed and not ten. It takes a quarter of an hour on two busy cores.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "contest"))

from fuxian.weights import load_tensors, save_tensors

PAPER, CLAIM = "maml", "maml/omniglot-5way-1shot"
PORT = 8765
SERVER = f"http://127.0.0.1:{PORT}"
TERMS = f"""\
paper = "maml"
claim = "{CLAIM.partition("/")[2]}"
must_pass = ["check", "origin", "control"]
steps_replayed = 1
"""
FUXIAN = Path(sys.executable).with_name("fuxian")
PASSWORD = "a long enough pass phrase"  # noqa: S105 - of accounts that live for minutes
ORGANISER = "organiser@example.org"


class Walk:
    """The contest's folder and its processes."""

    def __init__(self, place: Path, environment: dict[str, str]) -> None:
        self.place, self.contest = place, place / "contest"
        self.environment = os.environ | environment

    def fuxian(self, *words: Any, who: str = "organiser", codes: tuple[int, ...] = (0,)) -> Any:
        """What a command prints with --json."""
        mine = {"FUXIAN_CONFIG": str(self.place / "config" / who), "FUXIAN_CONTEST": SERVER}
        done = subprocess.run(
            [FUXIAN, *map(str, words), "--json"],
            env=self.environment | mine | {"FUXIAN_CONTEST_PASSWORD": PASSWORD},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in codes:
            raise SystemExit(
                f"fuxian {' '.join(map(str, words))}: {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return json.loads(done.stdout)

    @contextmanager
    def running(self, *words: Any) -> Iterator[subprocess.Popen[bytes]]:
        """A command that goes on; told to stop at the end."""
        log = (self.place / f"{words[1]}-{time.monotonic_ns()}.log").open("wb")
        process = subprocess.Popen(
            [FUXIAN, *map(str, words)],
            env=self.environment | {"FUXIAN_CONFIG": str(self.place / "config" / "organiser")},
            stdout=log,
            stderr=log,
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=120)
            except subprocess.TimeoutExpired:
                process.kill()
            log.close()

    def enter(self, name: str, folder: Path) -> int:
        """Account, team, registration and submission of a folder; the submission's number."""
        email = f"{name}@example.org"
        self.fuxian("contest", "account", email, "--name", name, who=name)
        mine = next(mail for mail in self.outbox() if email in json.dumps(mail))
        secret = re.search(r"secret=([\w-]{16,})", json.dumps(mine))
        assert secret is not None, mine
        self.fuxian("contest", "confirm", secret[1], who=name)
        self.fuxian("contest", "login", email, who=name)
        self.fuxian("contest", "team", f"team {name}", who=name)
        self.fuxian("contest", "register", PAPER, "--repo", f"https://github.com/{name}/maml", who=name)
        return int(self.fuxian("contest", "submit", PAPER, folder, who=name)["submission"])

    def outbox(self) -> list[Any]:
        file = self.place / "config" / "organiser" / "contest-tokens.json"
        token = json.loads(file.read_text())[SERVER]
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx.get(f"{SERVER}/api/v1/admin/outbox?limit=200", headers=headers, timeout=30)
        if answer.status_code != 200:
            raise SystemExit(f"outbox: {answer.status_code} {answer.text}")
        return list(answer.json())


def submissions(place: Path, walk: Walk, given: Path | None) -> dict[str, Path]:
    """The teams' repositories, in the order in which they submit."""
    right = place / "right"
    team = ("--team", "walkers", "--number", "1", "--member", "A Walker", "--email", "a@b.org")
    walk.fuxian("new", right, "--paper", CLAIM, *team, "--repo", "https://github.com/walkers/maml")
    worse, late, cheat = place / "worse", place / "late", place / "cheat"
    for copy in (worse, late):
        shutil.copytree(right, copy)
    weights = worse / "weights" / f"{CLAIM.partition('/')[2]}.safetensors"
    random = np.random.default_rng(0)
    noisy = {
        name: (tensor + 0.5 * tensor.std() * random.standard_normal(tensor.shape)).astype(tensor.dtype)
        for name, tensor in load_tensors(weights).items()
    }
    save_tensors(weights, noisy)
    shutil.copytree(given or right, cheat)
    if given is None:
        shutil.rmtree(cheat / "weights")
        (cheat / "eval.py").write_text("print('accuracy: 0.995')\n", encoding="utf-8")
    folders = {"worse": worse, "cheat": cheat, "right": right, "late": late}
    for name, folder in folders.items():
        (folder / "TEAM").write_text(name, encoding="utf-8")
        git = ["git", "-C", str(folder), "-c", "user.name=W", "-c", "user.email=w@example.org"]
        for words in (["init", "-q"], ["add", "-A", "-f"], ["commit", "-q", "-m", "work"]):
            subprocess.run([*git, *words], check=True)
    return folders


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--engine", choices=("local", "ray"), default="local")
    parser.add_argument("--cheat", type=Path, help="a submission to hand in as the cheat's")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    began = time.monotonic()
    with ExitStack() as opened:
        place = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="fuxian-walk-")))
        environment: dict[str, str] = {}
        if given.database == "postgresql":
            from postgres import Postgres

            server = Postgres()
            opened.callback(server.stop)
            environment["DATABASE_URL"] = server.new("walk")
        found = walk(place, environment, given, opened)
    found |= {"database": given.database, "engine": given.engine, "seconds": round(time.monotonic() - began)}
    if given.json:
        print(json.dumps(found))
    else:
        for team, (status, reason, detail) in found["submissions"].items():
            print(f"{team:8} {status:10} {reason:14} {detail}")
        print(
            f"winner {found['winner']}, audit {found['audit']}, mails {found['mails']}, killed {found['killed']}"
        )
        print(f"{given.database}, {given.engine}: {found['seconds']} s")
    expected = {"worse": "rejected", "cheat": "rejected", "right": "won", "late": "void"}
    wrong = {team: said for team, said in found["submissions"].items() if said[0] != expected[team]}
    if wrong or not found["audit"] or found["mails"] < 4:
        raise SystemExit(f"not as it should be: {wrong or found}")


def walk(
    place: Path, environment: dict[str, str], given: argparse.Namespace, opened: ExitStack
) -> dict[str, Any]:
    at = Walk(place, environment)
    folders = submissions(place, at, given.cheat)
    made = at.fuxian("contest", "init", at.contest, "--example", "class", "--organiser", ORGANISER)
    (at.contest / "terms.toml").write_text(TERMS, encoding="utf-8")
    toml = at.contest / "contest.toml"
    text = toml.read_text(encoding="utf-8")
    toml.write_text(text.replace(f'claim = "{CLAIM}"', 'terms = "terms.toml"'), encoding="utf-8")
    opened.enter_context(at.running("contest", "serve", at.contest, "--port", PORT, "--workers", 0))
    for _ in range(600):
        try:
            if httpx.get(f"{SERVER}/ready", timeout=5).status_code == 200:
                break
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    at.environment["FUXIAN_CONTEST_PASSWORD"] = made["password"]
    os.environ["FUXIAN_CONTEST_PASSWORD"] = made["password"]
    logged = subprocess.run(
        [FUXIAN, "contest", "login", ORGANISER, "--server", SERVER],
        env=at.environment | {"FUXIAN_CONFIG": str(place / "config" / "organiser")},
        check=False,
        capture_output=True,
        text=True,
    )
    if logged.returncode:
        raise SystemExit(logged.stdout + logged.stderr)
    entries = {name: at.enter(name, folder) for name, folder in folders.items()}
    killed = work(at, given, opened)
    said = {
        name: at.fuxian("contest", "status", number, who=name, codes=(0, 1, 3))
        for name, number in entries.items()
    }
    board = at.fuxian("contest", "board")
    audit = at.fuxian("contest", "audit", at.contest)
    return {
        "submissions": {
            name: [one["status"], one.get("reason") or "", one.get("mine", {}).get("detail") or ""]
            for name, one in said.items()
        },
        "winner": next((one["winner"]["name"] for one in board["papers"] if one["winner"]), None),
        "audit": audit.get("wrong") == [] and bool(audit.get("winners")),
        "mails": len(at.outbox()),
        "killed": killed,
    }


def work(at: Walk, given: argparse.Namespace, opened: ExitStack) -> int:
    """Verifies all that waits; returns how many workers were killed meanwhile."""
    words = ["contest", "worker", at.contest]
    if given.engine == "ray":
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        opened.callback(cluster.shutdown)
        for _ in range(2):
            cluster.add_node(num_cpus=1, memory=16 << 30)
        words += ["--engine", "ray", "--cluster", cluster.address, "--cpus", 1, "--memory", 4, "--slots", 2]
    workers = [
        opened.enter_context(at.running(*words)) for _ in range(2 if given.database == "postgresql" else 1)
    ]
    killed = 0
    while True:
        time.sleep(2)
        queue = httpx.get(f"{SERVER}/api/v1/queue", timeout=30).json()
        states = [
            one["state"] for one in queue["jobs"] if one["state"] in ("queued", "leased") and one["count"]
        ]
        if len(workers) > 1 and not killed and "leased" in states:
            time.sleep(5)
            # The one that is in the midst of a verification, as the queue shows it.
            busy = {one["name"].rsplit("-", 2)[1] for one in queue["workers"] if one["doing"]}
            next((one for one in workers if str(one.pid) in busy), workers[0]).kill()
            killed = 1
        if not states:
            return killed


if __name__ == "__main__":
    main()
