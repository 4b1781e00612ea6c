"""The bus's side: a few threads, each with a process that evaluates, and the jobs that wait for one.

Jobs wait by whom they are for (a rule), and rules take turns; a rule has one process at a time, so one whose expression loops to its
limit again and again leaves the others to everybody else. A job that would wait too long is put off: its delivery's lease does not wait for it.
"""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Mapping

import msgspec

from eventyard.core import limits
from eventyard.expressions.messages import LENGTH, Job
from eventyard.ports import ExpressionFailed, Outcome, PutOff


class _Waiting(msgspec.Struct, eq=False):
    job: Job
    done: Callable[[Outcome], None]
    until: float


class Evaluators:
    """`ports.Expressions`. Processes and threads are started when they are first needed."""

    def __init__(self, count: int = limits.EVALUATORS) -> None:
        self._count = count
        self._lock = threading.Condition()
        self._waiting: OrderedDict[Hashable, deque[_Waiting]] = OrderedDict()
        self._busy: set[Hashable] = set()
        self._threads: list[threading.Thread] = []
        self._processes: set[_Process] = set()
        self._is_closed = False

    def evaluate(
        self,
        who: Hashable,
        expressions: tuple[str, ...],
        event: bytes,
        facts: Mapping[str, bytes],
        done: Callable[[Outcome], None],
    ) -> None:
        """From any thread. `done` is called once, on a thread of this one's; with `PutOff` on the caller's after `close`."""
        waiting = _Waiting(Job(expressions, event, dict(facts)), done, time.monotonic() + limits.EXPRESSION_WAIT_S)
        with self._lock:
            is_taken = not self._is_closed
            if is_taken:
                self._waiting.setdefault(who, deque()).append(waiting)
                self._start()
                self._lock.notify()
        if not is_taken:
            done(PutOff())

    def close(self) -> None:
        """What waits is put off, what runs is ended. Harmless twice."""
        with self._lock:
            self._is_closed = True
            left = [one for queue in self._waiting.values() for one in queue]
            self._waiting.clear()
            for process in self._processes:
                process.kill()
            self._lock.notify_all()
        for one in left:
            one.done(PutOff())
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(limits.TRANSPORT_CLOSE_S)

    def _start(self) -> None:
        if len(self._threads) < min(self._count, len(self._waiting) + len(self._busy)):
            thread = threading.Thread(target=self._run, name="eventyard-expressions", daemon=True)
            self._threads.append(thread)
            thread.start()

    # On a thread of its own

    def _run(self) -> None:
        process: _Process | None = None
        while (found := self._next()) is not None:
            who, waiting = found
            if process is None:
                process = self._started()
            outcome = process.evaluate(waiting.job) if time.monotonic() < waiting.until else PutOff()
            if not process.is_alive:
                self._ended(process)
                process = None
            with self._lock:
                self._busy.discard(who)
                self._lock.notify()
            waiting.done(outcome)
        if process is not None:
            self._ended(process)

    def _next(self) -> tuple[Hashable, _Waiting] | None:
        """Whose turn it is; None at the end."""
        with self._lock:
            while not self._is_closed:
                who = next((one for one in self._waiting if one not in self._busy), None)
                if who is not None:
                    return who, self._taken(who)
                self._lock.wait()
        return None

    def _taken(self, who: Hashable) -> _Waiting:
        queue = self._waiting[who]
        waiting = queue.popleft()
        self._busy.add(who)
        if queue:
            self._waiting.move_to_end(who)
        else:
            del self._waiting[who]
        return waiting

    def _started(self) -> "_Process":
        process = _Process()
        with self._lock:
            self._processes.add(process)
            if self._is_closed:
                process.kill()
        return process

    def _ended(self, process: "_Process") -> None:
        with self._lock:
            self._processes.discard(process)
        process.end()


class _Process:
    """One child, and its two pipes. For one thread, but for `kill`."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-m", "eventyard.expressions.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={name: value for name, value in os.environ.items() if name in _ENVIRONMENT},
            start_new_session=True,  # Ctrl-C is for the bus, which may still want what is under way.
        )
        self.is_alive = True
        self._is_ready = False
        self._is_killed = False

    def evaluate(self, job: Job) -> Outcome:
        """`PutOff` where the machine gave it no time to say anything; it is then ended."""
        deadline = time.monotonic() + limits.EXPRESSION_WALL_S
        try:
            if not self._is_ready:
                self._read(deadline)
                self._is_ready = True
            self._write(job)
            outcome = self._read(deadline)
        except (EOFError, OSError, TimeoutError) as error:
            return self._died(error)
        if isinstance(outcome, ExpressionFailed) and outcome.is_last:
            self.is_alive = False
        return outcome

    def _write(self, job: Job) -> None:
        """The child reads before it does anything else, so this does not wait for an expression."""
        body = msgspec.msgpack.encode(job)
        left = memoryview(LENGTH.pack(len(body)) + body)
        assert self._child.stdin is not None  # noqa: S101 - it was asked for
        while left:
            left = left[self._child.stdin.write(left) :]

    def _read(self, deadline: float) -> Outcome:
        (length,) = LENGTH.unpack(self._read_bytes(LENGTH.size, deadline))
        outcome: Outcome = _OUTCOME.decode(self._read_bytes(length, deadline))
        return outcome

    def _read_bytes(self, count: int, deadline: float) -> bytes:
        assert self._child.stdout is not None  # noqa: S101 - as above
        descriptor, read = self._child.stdout.fileno(), b""
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        while len(read) < count:
            if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise TimeoutError
            chunk = self._child.stdout.read(count - len(read))
            if not chunk:
                raise EOFError
            read += chunk
        return read

    def _died(self, error: Exception) -> Outcome:
        """A process that ended by itself would do so again with the same event."""
        self.is_alive = False
        if isinstance(error, TimeoutError):
            self.kill()
        code = self._child.wait()
        if code == -signal.SIGPROF:
            return ExpressionFailed(f"it took more than {limits.EXPRESSION_CPU_S:g} s of processor time: perhaps it never ends")
        if self._is_killed or not self._is_ready:
            return PutOff()
        return ExpressionFailed(f"the process that evaluated it ended with {code}")

    def kill(self) -> None:
        self._is_killed = True
        self._child.kill()

    def end(self) -> None:
        self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()


_ENVIRONMENT = frozenset({"LANG", "LC_ALL", "PATH", "PYTHONHOME", "PYTHONPATH"})
"""What an interpreter needs to start; no key and no address."""

_OUTCOME = msgspec.msgpack.Decoder(Outcome)
