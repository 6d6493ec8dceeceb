"""The process that accepts connections: it starts those that answer, and hands each connection to the least busy.

It holds no lock, runs no thread and computes nothing, so that workers can be forked from it at any time; they find
models read, and share their weights' memory. Whoever of them ends without being told is started again.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType

from neocog.app.cli.errors import note, warn
from neocog.app.serve import channel as messages
from neocog.app.serve.counters import Counters
from neocog.app.serve.served import Identity, ServedModel
from neocog.app.serve.settings import Settings
from neocog.app.serve.worker import Worker, run_worker
from neocog.errors import NeocogError
from neocog.system import HANGUP, allow_files

BACKLOG = 2048  # connections that the system holds until they are accepted
LOOK_SECONDS = 1.0  # between two looks at the models' files
PAUSE_SECONDS = 1.0  # until a worker that ended is started again,
MOST_PAUSE_SECONDS = 60.0  # which doubles up to this while it never gets ready, as with a model file that is broken
AT_ONCE = 64  # connections that are accepted before anything else is looked at
OTHER_DESCRIPTORS = 256  # of a process, besides its connections: files, channels, and what libraries open
ENDING = (signal.SIGINT, signal.SIGTERM)


class StartError(NeocogError):
    """A worker could not begin."""


@dataclass(slots=True, eq=False)
class Member:
    """A worker, as the supervisor sees it."""

    number: int
    process: int = 0
    channel: socket.socket | None = None
    ready: bool = False
    given: float = 0  # connections so far, those on the way to it included
    again: float = 0.0  # when it may be started again
    pause: float = PAUSE_SECONDS  # that follows its end


class Supervisor:
    """Serves models until it is told to end.

    Arguments:
        models: that are served.
        settings: how.

    Attributes:
        port: where it listens.

    Raises:
        NeocogError: the address cannot be used.
    """

    def __init__(self, models: Sequence[ServedModel], settings: Settings) -> None:
        self._models, self._settings = models, settings
        self._listener = _listen(settings)
        self.port: int = self._listener.getsockname()[1]
        self._counters = Counters(settings.workers, [model.name for model in models])
        self._members = [Member(number) for number in range(settings.workers)]
        self._selector = selectors.DefaultSelector()
        self._ending = self._reopening = False
        self._identities: dict[str, Identity | None] = {model.name: model.identity for model in models}
        self._loading: list[Member] = []  # who has not said yet that it has read the new files
        self._queue: list[Member] = []  # who is to read them next

    def run(self, started: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT; then answer what is under way, and return.

        Arguments:
            started: called when requests are answered.

        Raises:
            StartError: no worker could begin.
        """
        allow_files(self._settings.connections_each + OTHER_DESCRIPTORS)
        with self._selector, self._signals():
            try:
                self._start(self._members[0])
                self._until(lambda: self._ending or self._members[0].ready or not self._members[0].process)
                if self._ending:
                    return
                if not self._members[0].ready:
                    raise StartError("the server could not begin; what is wrong was told above")
                for member in self._members[1:]:  # what the first has compiled, they find in the cache
                    self._start(member)
                self._listen_again()
                started()
                self._until(lambda: self._ending)
            finally:
                self._drain()

    # -- waiting ------------------------------------------------------------------------------------------------------

    def _until(self, done: Callable[[], bool]) -> None:
        """Do what there is to do until something is so."""
        looked = time.monotonic()
        while not done():
            for key, _ in self._selector.select(LOOK_SECONDS):
                key.data()
            if self._reopening:
                self._reopening = False
                for member in self._members:
                    self._send(member, messages.REOPEN)
            now = time.monotonic()
            if now - looked >= LOOK_SECONDS:
                looked = now
                self._look(now)

    def _look(self, now: float) -> None:
        """Start again who has ended, and have files read that have changed."""
        for member in self._members:
            if not member.process and not self._ending and member.again and now >= member.again:
                self._start(member)
        if self._loading or self._queue or not self._members[0].ready:
            return
        for model in self._models:
            identity = model.location.identity()
            if identity is not None and identity != self._identities[model.name]:
                self._identities[model.name] = identity
                self._queue = [member for member in self._members if member.ready]
        self._load_next()

    def _load_next(self) -> None:
        """Have the next worker read the files: one after another, so that the first compiles for all."""
        if self._queue and not self._loading:
            member = self._queue.pop(0)
            self._loading = [member]
            self._send(member, messages.LOAD)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Note signals that ask for an end, and wake up for them."""
        waker, woken = socket.socketpair()
        waker.setblocking(False)
        woken.setblocking(False)

        def end(number: int, frame: FrameType | None) -> None:
            self._ending = True

        def reopen(number: int, frame: FrameType | None) -> None:
            self._reopening = True

        before = {number: signal.signal(number, end) for number in ENDING}
        if HANGUP is not None:
            before[HANGUP] = signal.signal(HANGUP, reopen)
        wakeup = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)

        def awake() -> None:
            with contextlib.suppress(BlockingIOError):
                woken.recv(4096)

        self._selector.register(woken, selectors.EVENT_READ, awake)
        try:
            yield
        finally:
            self._selector.unregister(woken)
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            waker.close()
            woken.close()

    # -- workers ------------------------------------------------------------------------------------------------------

    def _start(self, member: Member) -> None:
        row = self._counters.row(member.number)  # of a process that is no more
        row.put("closed", row.get("opened"))
        for name in ("waiting_images", "waiting_bytes"):
            row.put(name, 0)
        ours, theirs = socket.socketpair()
        process = os.fork()
        if process == 0:
            signal.set_wakeup_fd(-1)
            self._selector.close()
            ours.close()
            self._listener.close()
            for other in self._members:
                if other.channel is not None:
                    other.channel.close()
            theirs.setblocking(False)
            run_worker(Worker(self._models, self._settings, self._counters, member.number, theirs))
        theirs.close()
        ours.setblocking(False)
        member.process, member.channel, member.ready, member.given = process, ours, False, row.get("opened")
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._hear(member))

    def _hear(self, member: Member) -> None:
        """Take what a worker says."""
        if member.channel is None:
            return
        found = messages.receive(member.channel)
        if found is None:
            self._ended(member)
            return
        for message in found[0]:
            if message == messages.READY[0]:
                member.ready, member.pause = True, PAUSE_SECONDS
                self._listen_again()
                self._queue.append(member)  # what it has read may have been replaced before it could be told
                self._load_next()
            elif message == messages.PREPARED[0] and member in self._loading:
                self._loading = []
                self._load_next()
                if not self._loading:  # all have read them: now all take them
                    for other in self._members:
                        if other.ready:
                            self._send(other, messages.TAKE)

    def _ended(self, member: Member) -> None:
        assert member.channel is not None
        self._selector.unregister(member.channel)
        member.channel.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(member.process, 0)
        was_ready = member.ready
        member.process, member.channel, member.ready = 0, None, False
        self._loading = [other for other in self._loading if other is not member]
        self._queue = [other for other in self._queue if other is not member]
        if not self._ending and (was_ready or member.again):
            warn(f"worker {member.number} ended; it is started again in {member.pause:.0f} s")
        member.again = time.monotonic() + member.pause
        member.pause = min(2 * member.pause, MOST_PAUSE_SECONDS)
        if not self._ending and not any(other.ready for other in self._members):
            self._stop_listening()
        self._load_next()

    def _send(self, member: Member, message: bytes) -> None:
        if member.channel is not None:
            messages.send(member.channel, message)

    # -- connections --------------------------------------------------------------------------------------------------

    def _listen_again(self) -> None:
        if not self._ending and self._listener.fileno() not in self._selector.get_map():
            self._selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def _stop_listening(self) -> None:
        """Leave connections to the system until somebody is there to answer."""
        if self._listener.fileno() in self._selector.get_map():
            self._selector.unregister(self._listener)

    def _accept(self, most: int = AT_ONCE) -> None:
        for _ in range(most):
            ready = [member for member in self._members if member.ready]
            if not ready:
                self._stop_listening()
                return
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:  # no more descriptors, or the client has gone
                if not isinstance(error, ConnectionError):
                    time.sleep(0.01)
                return
            with connection:
                closed = self._counters.each("closed")
                for member in sorted(ready, key=lambda member: member.given - closed[member.number]):
                    if member.channel and messages.send(member.channel, messages.CONNECTION, connection):
                        member.given += 1
                        break

    # -- the end ------------------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Have all end: what was accepted is answered, in as long as there is."""
        self._ending = True
        if any(member.ready for member in self._members):
            self._accept(BACKLOG)  # the system has accepted them already
        self._stop_listening()
        self._listener.close()
        for member in self._members:
            if member.ready:
                self._send(member, messages.DRAIN)
            elif member.process:  # it still reads or compiles models, and has been given no connection
                os.kill(member.process, signal.SIGKILL)
        limit = time.monotonic() + self._settings.drain + 5.0
        while any(member.process for member in self._members) and time.monotonic() < limit:
            for key, _ in self._selector.select(0.1):
                key.data()
        for member in self._members:
            if member.process:
                note(f"worker {member.number} did not end in time")
                with contextlib.suppress(ProcessLookupError):
                    os.kill(member.process, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(member.process, 0)


def _listen(settings: Settings) -> socket.socket:
    """Open the address for connections.

    Raises:
        NeocogError: it cannot be used.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        cause = getattr(error, "strerror", None) or "its name is too long"
        raise NeocogError(f"{settings.host} is no address of this machine: {cause}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise NeocogError(
            f"port {settings.port} of {settings.host} cannot be used: {error.strerror}",
            hint="--port 0 takes a free one",
        ) from None
    return listener
