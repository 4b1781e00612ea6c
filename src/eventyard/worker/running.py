"""A worker as a process: put together, and run until it is told to stop."""

import gc
import math
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_address
from urllib.parse import urlsplit

from eventyard import process
from eventyard import settings as settings_module
from eventyard.core import limits
from eventyard.core.errors import InvalidSettings
from eventyard.core.network import Policy
from eventyard.expressions import Evaluators
from eventyard.settings import Settings
from eventyard.transports.http import HttpTransport
from eventyard.worker.worker import Worker

_ANYWHERE = Policy(is_loopback_allowed=True, allowed=(IPv4Network("0.0.0.0/0"), IPv6Network("::/0")))
"""Where the server stands is the operator's word, unlike where a rule's target does."""


def work(settings: Settings, server: str, *, key: str = "", ca_file: str = "") -> bool:
    """Push for the server at this address, with this access key, until SIGTERM or Ctrl-C; a second one ends it at once. Whether all verdicts were told.

    Raises InvalidSettings where the address cannot be one, WrongServer where what answers there is no server of this version.
    """
    url = _checked(server)
    process.prepare(settings.log_level, settings.log_format)
    policy = Policy(is_loopback_allowed=_is_loopback(url), allowed=settings_module.policy(settings).allowed)
    pushes, line = HttpTransport(policy), HttpTransport(_ANYWHERE, resolver_threads=1, connections_max=4, ca_file=ca_file)
    chance = random.Random()  # noqa: S311 - spreads retries, guards nothing
    tracing = process.tracing(settings.trace_endpoint, settings.trace_ratio)
    expressions = Evaluators()
    worker = Worker(
        pushes,
        line,
        url,
        key=key,
        wake=pushes.wake,
        say=process.say,
        now=time.monotonic,
        rng=chance,
        tracing=tracing,
        wall_ms=lambda: time.time_ns() // 1_000_000,
        expressions=expressions,
    )
    _follow_signals(worker)
    _greet(settings, policy, url)
    gc.freeze()
    try:
        return _run(worker, pushes, settings.drain_s)
    finally:
        expressions.close()
        pushes.close()
        line.close()
        if tracing is not None:
            tracing.close()


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


def _run(worker: Worker, pushes: HttpTransport, drain_s: float) -> bool:
    """The transport's thread works; this one waits for the end, and sees to it that there is one."""
    life = _Life(worker)
    pushes.between = life.step
    pushes.wake()
    life.wait_until(lambda: worker.is_stopping, math.inf)
    if not life.wait_until(lambda: worker.is_over, drain_s):
        worker.give_up()
        pushes.close()
        _step(worker, time.monotonic() + limits.WORKER_LAST_S)
    return _tell_end(worker)


class _Life:
    """A worker that is stepped on one thread and waited for on another."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._stepped = threading.Event()
        self._failure: BaseException | None = None

    def step(self, was_idle: bool) -> float:
        """What goes wrong here is raised where it is waited for."""
        try:
            wait_s = self._worker.step(was_idle)
        except BaseException as error:
            self._failure = error
            self._stepped.set()
            raise
        if self._worker.is_stopping or self._worker.refusal is not None:
            self._stepped.set()
        return wait_s

    def wait_until(self, is_so: Callable[[], bool], longest_s: float) -> bool:
        """Whether it came to be so in time. It is looked at after each step of a worker that stops."""
        ends_at = time.monotonic() + longest_s
        while not is_so():
            left_s = min(ends_at - time.monotonic(), threading.TIMEOUT_MAX)
            if not self._stepped.wait(max(0.0, left_s)):
                return False
            self._stepped.clear()
            failure = self._failure or self._worker.refusal
            if failure is not None:
                raise failure
        return True


def _step(worker: Worker, ends_at: float) -> None:
    """Until all is told, or the time is over. The transport's thread has ended."""
    while not worker.is_over and time.monotonic() < ends_at:
        worker.step()
        worker.wait(ends_at - time.monotonic())


def _tell_end(worker: Worker) -> bool:
    left = worker.under_way
    if left:
        process.say(
            f"Stopped. {left} verdicts did not reach the server: those deliveries are pushed again when their leases end."
        )
    else:
        process.say(f"Stopped. {worker.told} deliveries were pushed or given back, and the server knows of all of them.")
    return not left
