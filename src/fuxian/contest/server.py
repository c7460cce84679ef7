"""Runs everything on one machine: the API and pages, fetching of repositories, mails, and workers as own processes."""

from __future__ import annotations

import logging
import os
import signal
import smtplib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn
from sqlalchemy.exc import DBAPIError

from fuxian.contest import jobs
from fuxian.contest.evaluation import by_fuxian
from fuxian.contest.service import news
from fuxian.contest.service.context import Context
from fuxian.contest.web.app import make_site
from fuxian.contest.worker import Worker
from fuxian.errors import InputError

SMTP, SENDER = "FUXIAN_SMTP", "FUXIAN_MAIL_FROM"
SERVER = "FUXIAN_CONTEST_SERVER_PID"
"""Tells a worker whose it is: it does not outlive a server that was killed."""
logger = logging.getLogger("fuxian.contest.server")


def serve(at: Context, *, host: str, port: int, workers: int) -> None:
    """Until it is told to stop; running verifications are then given back."""
    stop = threading.Event()
    # Fetching waits for the network, not for the processor, and must not wait behind verifications.
    fetcher = Worker(at, by_fuxian, kinds=(jobs.PIN,), engine="fetch")
    threads = [threading.Thread(target=fetcher.run, name="fetch")]
    if os.environ.get(SMTP):
        threads.append(threading.Thread(target=_mails, args=(at, stop), name="mails"))
    if workers:
        threads.append(threading.Thread(target=_workers, args=(at.folder, workers, stop), name="workers"))
    for thread in threads:
        thread.start()
    # Once it has ended, uvicorn raises the signal that ended it: without a handler that would be the end of us too.
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        uvicorn.run(make_site(at), host=host, port=port, log_level="warning", access_log=False)
    finally:
        stop.set()
        fetcher.stop()
        for thread in threads:
            thread.join(timeout=60)


def _mails(at: Context, stop: threading.Event) -> None:
    sender = os.environ.get(SENDER) or at.contest.contact or "contest@localhost"
    while not stop.wait(10):
        try:
            news.send_mails(at, os.environ[SMTP], sender)
        except InputError:
            raise
        except (OSError, smtplib.SMTPException, DBAPIError) as error:
            logger.warning("mail: %s", str(error).splitlines()[0][:200])


def _workers(folder: Path, count: int, stop: threading.Event) -> None:
    """Keeps so many worker processes alive."""
    running: list[subprocess.Popen[bytes]] = []
    while not stop.wait(1):
        running = [process for process in running if process.poll() is None]
        while len(running) < count:
            running.append(
                subprocess.Popen(  # noqa: S603 - our own command
                    [sys.executable, "-m", "fuxian.cli.main", "contest", "worker", str(folder)],
                    stdin=subprocess.DEVNULL,
                    env={**os.environ, SERVER: str(os.getpid())},
                )
            )
    for process in running:
        process.send_signal(signal.SIGTERM)
    for process in running:
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()


def run_workers(workers: Sequence[Worker]) -> None:
    """Workers in this process, until SIGTERM or SIGINT."""
    import paddle

    # A verification imports Paddle, whose own handlers would then stand in the place of ours.
    paddle.disable_signal_handler()

    def stop(*_: object) -> None:
        for worker in workers:
            worker.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    if (server := os.environ.get(SERVER)) is not None:
        threading.Thread(target=_stop_after, args=(int(server), stop), daemon=True).start()
    others = [threading.Thread(target=worker.run) for worker in workers[1:]]
    for thread in others:
        thread.start()
    workers[0].run()
    for thread in others:
        thread.join()


def _stop_after(server: int, stop: Callable[[], None]) -> None:
    while os.getppid() == server:
        time.sleep(1)
    stop()
