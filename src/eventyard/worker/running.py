"""A worker as a process: put together, and run until it is told to stop."""

import gc
import os
import random
import signal
import time
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_address
from urllib.parse import urlsplit

from eventyard import process
from eventyard import settings as settings_module
from eventyard.core import limits
from eventyard.core.errors import InvalidSettings
from eventyard.core.network import Policy
from eventyard.settings import Settings
from eventyard.transports.http import HttpTransport
from eventyard.worker.worker import Worker

_ANYWHERE = Policy(is_loopback_allowed=True, allowed=(IPv4Network("0.0.0.0/0"), IPv6Network("::/0")))
"""Where the server stands is the operator's word, unlike where a rule's target does."""


def work(settings: Settings, server: str) -> bool:
    """Push for the server at this address until SIGTERM or Ctrl-C; a second one ends it at once. Whether all verdicts were told.

    Raises InvalidSettings where the address cannot be one, WrongServer where what answers there is no server of this version.
    """
    url = _checked(server)
    process.prepare(settings.log_level)
    policy = Policy(is_loopback_allowed=_is_loopback(url), allowed=settings_module.policy(settings).allowed)
    pushes, line = HttpTransport(policy), HttpTransport(_ANYWHERE, resolver_threads=1, connections_max=4)
    worker = Worker(pushes, line, url, say=process.say, now=time.monotonic, rng=random.SystemRandom())
    _follow_signals(worker)
    _greet(settings, policy, url)
    gc.freeze()
    try:
        return _run(worker, settings.drain_s, end_pushes=pushes.close)
    finally:
        pushes.close()
        line.close()


def _checked(server: str) -> str:
    wanted = "an address as http://127.0.0.1:8410"
    try:
        parts = urlsplit(server)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        raise InvalidSettings(f'found "{server[:200]}"', wanted=wanted, at="server")
    return f"{parts.scheme}://{parts.netloc}"


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _greet(settings: Settings, policy: Policy, url: str) -> None:
    loopback = "also on the loopback, as the server is" if policy.is_loopback_allowed else "but not on the loopback"
    more = "".join(f", {network}" for network in settings.allow_network)
    process.say(
        f"Eventyard worker {os.getpid()} asks {url} for deliveries",
        f"Targets may stand on the internet, {loopback}{more}.",
        "Stop with Ctrl-C: pushes under way may end, and what was not sent is given back.",
    )


def _follow_signals(worker: Worker) -> None:
    is_told = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal is_told
        if is_told:
            os._exit(130)
        is_told = True
        worker.stop()
        process.say("Stopping: no new leases are taken, pushes under way may end.")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def _run(worker: Worker, drain_s: float, *, end_pushes: Callable[[], None]) -> bool:
    while not worker.is_stopping:
        worker.step()
        if worker.refusal is not None:
            raise worker.refusal
        worker.wait(limits.WORKER_WAIT_S_MAX)
    if not _step_until(worker, time.monotonic() + drain_s):
        worker.give_up()
        end_pushes()
        _step_until(worker, time.monotonic() + limits.WORKER_LAST_S)
    return _tell_end(worker)


def _step_until(worker: Worker, ends_at: float) -> bool:
    """Whether all was over in time."""
    while True:
        worker.step()
        left_s = ends_at - time.monotonic()
        if worker.is_over or left_s <= 0:
            return worker.is_over
        worker.wait(left_s)


def _tell_end(worker: Worker) -> bool:
    left = worker.under_way
    if left:
        process.say(
            f"Stopped. {left} verdicts did not reach the server: those deliveries are pushed again when their leases end."
        )
    else:
        process.say(f"Stopped. {worker.told} deliveries were pushed or given back, and the server knows of all of them.")
    return not left
