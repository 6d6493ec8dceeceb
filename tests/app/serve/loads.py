"""A load for tests: threads that ask without end, note what they were told, and stop when they are told to."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Load:
    """Clients that each ask over a connection that is kept, and over a new one when the server has closed it.

    Arguments:
        port: of the server. picture: that they ask about.

    Attributes:
        answers: how often each (status, version of the model, body) came.
        lost: requests that were sent over a connection that was new, or just answered, and got no answer.
        refused: connections that were not accepted any more.
    """

    port: int
    picture: bytes
    clients: int = 6
    answers: Counter[tuple[int, str, bytes]] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    refused: int = 0

    def __enter__(self) -> Load:
        self._over, self._lock = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _ask(self) -> None:
        while not self._over.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            try:
                connection.connect()
            except OSError:
                self.refused += 1
                return  # the server has ended
            try:
                self._ask_over(connection)
            finally:
                connection.close()

    def _ask_over(self, connection: http.client.HTTPConnection) -> None:
        while not self._over.is_set():
            try:
                connection.request("POST", "/", self.picture)
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as error:
                with self._lock:
                    self.lost.append(repr(error))
                return
            with self._lock:
                self.answers[answer.status, answer.getheader("x-model-version") or "", body] += 1
            if answer.getheader("connection") == "close":
                return
