"""A process that answers: it is handed connections, and speaks HTTP over them until it is told to end.

What it does not do: listen, or take a signal. The process that started it does both, so that a connection goes to
whoever is least busy, and nothing that was accepted is lost when a worker ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import os
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any, cast

import click
import uvicorn
from uvicorn.server import ServerState

from neocog.app.cli.errors import CommandLineError, format_error
from neocog.app.serve import channel as messages
from neocog.app.serve import metrics
from neocog.app.serve.access import AccessLog
from neocog.app.serve.application import Application
from neocog.app.serve.batcher import Batcher
from neocog.app.serve.connection import LOOK_SECONDS, ClientConnection
from neocog.app.serve.counters import Counters
from neocog.app.serve.served import ServedModel
from neocog.app.serve.settings import LAST_SECONDS, Settings
from neocog.errors import NeocogError
from neocog.system import signals


class Worker:
    """Replies over the connections that come through a channel.

    Arguments:
        models: that are served; each is read anew if its file has changed since.
        settings: how.
        counters, number: the numbers of all processes, and which of them this one is.
        channel: to the process that accepts connections.
    """

    def __init__(
        self,
        models: Sequence[ServedModel],
        settings: Settings,
        counters: Counters,
        number: int,
        channel: socket.socket,
    ) -> None:
        self._settings, self._counters, self._channel = settings, counters, channel
        self._row = counters.row(number)
        self._models = {model.name: model for model in models}
        self._prepared: dict[str, ServedModel] = {}
        self._state = ServerState()
        self._looking = False

    def run(self) -> None:
        """Answer until the channel says that it is over, or ends."""
        for number in signals("SIGINT", "SIGTERM", "SIGHUP"):
            signal.signal(number, signal.SIG_IGN)  # they reach whoever started this process, which then says so
        for name, model in list(self._models.items()):
            identity = model.location.identity()
            if identity is not None and identity != model.identity:  # it was replaced since this model was read
                self._models[name] = model.location.open(self._settings.threads)
            self._models[name].warm_up()
        gc.collect()
        gc.freeze()  # what is there by now stays: no need to look through it again
        with asyncio.Runner() as runner:
            runner.run(self._answer())

    async def _answer(self) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        self._log = log = None if self._settings.access_log is None else AccessLog(self._settings.access_log, loop)
        self._batchers = {name: Batcher(model, self._settings, self._row, loop) for name, model in self._models.items()}
        self._application = Application(self._batchers, self._settings, self._counters, self._row, log)
        self._protocol = self._protocol_factory()
        loop.add_reader(self._channel.fileno(), self._take_messages)
        self._row.add("started")
        messages.send(self._channel, messages.READY)
        await self._over.wait()
        loop.remove_reader(self._channel.fileno())
        await self._drain()
        for batcher in self._batchers.values():
            batcher.close()
        if log is not None:
            log.write()
        metrics.note_use(self._row)

    def _protocol_factory(self) -> Callable[[], asyncio.Protocol]:
        config = uvicorn.Config(
            self._application,
            http=ClientConnection,
            ws="none",
            lifespan="off",
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            timeout_keep_alive=10**9,  # `ClientConnection.look` ends silent connections
        )
        config.load()
        keywords: dict[str, Any] = {
            "config": config,
            "server_state": self._state,
            "app_state": {},
            "settings": self._settings,
            "row": self._row,
        }
        return functools.partial(ClientConnection, **keywords)

    def _take_messages(self) -> None:
        found = messages.receive(self._channel)
        if found is None:  # whoever accepts connections is gone
            self._over.set()
            return
        told, connections = found
        for connection in connections:
            connection.setblocking(False)
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = self._loop.create_task(self._connect(connection))
            self._state.tasks.add(task)
            task.add_done_callback(self._state.tasks.discard)
        for message in told:
            if message == messages.LOAD[0]:
                threading.Thread(target=self._load, daemon=True).start()
            elif message == messages.TAKE[0]:
                self._take()
            elif message == messages.DRAIN[0]:
                self._over.set()
            elif message == messages.REOPEN[0] and self._log is not None:
                with contextlib.suppress(OSError):  # its folder is gone: the old file goes on
                    self._log.reopen()

    async def _connect(self, connection: socket.socket) -> None:
        self._row.add("opened")
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError:  # it has ended already
            connection.close()
            self._row.add("closed")
            return
        if not self._looking:
            self._looking = True
            self._loop.call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        """End connections whose clients have stopped taking part; look again while there are any."""
        now = self._loop.time()
        for connection in list(self._state.connections):
            cast(ClientConnection, connection).look(now)
        self._looking = bool(self._state.connections)
        if self._looking:
            self._loop.call_later(LOOK_SECONDS, self._look)
        metrics.note_use(self._row)

    def _load(self) -> None:
        """Read models whose files have changed, and compile them, while the old ones answer."""
        for name, batcher in self._batchers.items():
            model = batcher.model
            identity = model.location.identity()
            if identity is None or identity == model.identity:
                continue
            try:
                fresh = model.location.open(self._settings.threads)
                fresh.warm_up()
            except Exception as error:  # whatever it is: the supervisor waits for word before it has others read
                known = isinstance(error, (NeocogError, CommandLineError, OSError))
                message = getattr(error, "message", str(error)) if known else f"{type(error).__name__}: {error}"
                told = format_error(f"{name} was not replaced, the old model answers: {message}", kind="warning")
                self._loop.call_soon_threadsafe(self._not_taken, name, told)
            else:
                self._prepared[name] = fresh
        self._loop.call_soon_threadsafe(messages.send, self._channel, messages.PREPARED)

    def _not_taken(self, name: str, told: str) -> None:
        self._row.add(f"{name}/failed_reloads")
        click.echo(told, err=True)

    def _take(self) -> None:
        """Have the models that were read answer from the next batch on."""
        for name, model in self._prepared.items():
            self._batchers[name].replace(model)
            self._row.add(f"{name}/reloads")
        self._prepared = {}

    async def _drain(self) -> None:
        """Answer what is under way, and what comes over open connections in a last while; each answer closes one."""
        self._application.draining = True
        loop = self._loop
        end = loop.time() + self._settings.drain
        last = min(end, loop.time() + LAST_SECONDS)
        while (self._state.connections or self._state.tasks) and loop.time() < last:
            await asyncio.sleep(0.02)
        for connection in list(self._state.connections):
            connection.shutdown()  # those that are silent; others end with their answer
        while (self._state.connections or self._state.tasks) and loop.time() < end:
            await asyncio.sleep(0.02)
        for connection in list(self._state.connections):
            cast(ClientConnection, connection).transport.abort()


def run_worker(worker: Worker) -> None:
    """Run a worker in a process that was forked for it, and end that process."""
    code = 1
    try:
        worker.run()
        code = 0
    except (NeocogError, CommandLineError) as error:
        click.echo(format_error(error.message, error.details, error.hint), err=True)
    except BaseException as error:
        click.echo(format_error(f"a worker failed: {type(error).__name__}: {error}"), err=True)
        if os.environ.get("NEOCOG_DEBUG", "") not in ("", "0"):
            traceback.print_exc()
    finally:
        os._exit(code)  # without what the process that was forked would do at its end
