"""The numbers of a server as Prometheus reads them (its text format, version 0.0.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from neocog.app.serve.counters import BOUNDS, STATUSES, Counters, Tally
from neocog.system import process_use

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


def note_use(row: Tally, process: int | None = None) -> None:
    """Write down what processor time and memory a process has taken, as far as the system tells.

    Arguments:
        row: of the process.
        process: its number; None: this one.
    """
    use = process_use(process)
    if use is None:
        return
    seconds, held = use
    row.put("cpu_seconds", seconds)
    if held is not None:
        row.put("resident_bytes", held)


def text_of(counters: Counters) -> str:
    """Return the page that Prometheus reads."""
    return "\n".join(_lines(counters)) + "\n"


def _lines(counters: Counters) -> Iterator[str]:
    def head(name: str, kind: str, told: str) -> Iterator[str]:
        yield f"# HELP neocog_{name} {told}"
        yield f"# TYPE neocog_{name} {kind}"

    yield from head("requests_total", "counter", "Requests that were answered, by status.")
    for status in STATUSES:
        yield f'neocog_requests_total{{status="{status}"}} {counters.total(f"status/{status}"):.0f}'
    opened, closed = counters.total("opened"), counters.total("closed")
    yield from head("connections", "gauge", "Connections that are open.")
    yield f"neocog_connections {opened - closed:.0f}"
    yield from head("connections_opened_total", "counter", "Connections that were opened.")
    yield f"neocog_connections_opened_total {opened:.0f}"
    yield from head("waiting_images", "gauge", "Images that wait for their answer.")
    yield f"neocog_waiting_images {counters.total('waiting_images'):.0f}"
    yield from head("waiting_bytes", "gauge", "Bytes of requests that are held.")
    yield f"neocog_waiting_bytes {counters.total('waiting_bytes'):.0f}"
    each: tuple[tuple[str, str, str, str, Callable[[float], str]], ...] = (
        ("cpu_seconds_total", "counter", "cpu_seconds", "Processor time of each process.", "{:.2f}".format),
        ("resident_bytes", "gauge", "resident_bytes", "Memory of each process.", "{:.0f}".format),
        ("started_total", "counter", "started", "How often each process was started.", "{:.0f}".format),
    )
    for name, kind, key, told, shown in each:
        yield from head(f"process_{name}", kind, told)
        for process, value in enumerate(counters.each(key)):
            yield f'neocog_process_{name}{{process="{process}"}} {shown(value)}'
    for name, told in (
        ("images", "Images that were answered."),
        ("unreadable", "Images that could not be read."),
        ("batches", "Batches that were computed."),
        ("reloads", "Times that a process took a new file."),
        ("failed_reloads", "Times that a new file was no model, and the old one stayed."),
    ):
        yield from head(f"{name}_total", "counter", told)
        for model in counters.models:
            yield f'neocog_{name}_total{{model="{model}"}} {counters.total(f"{model}/{name}"):.0f}'
    yield from head("seconds", "histogram", "Seconds from the end of a request to its answer.")
    for model in counters.models:
        so_far = 0.0
        for place, bound in enumerate((*map(str, BOUNDS), "+Inf")):
            so_far += counters.total(f"{model}/bucket/{place}")
            yield f'neocog_seconds_bucket{{model="{model}",le="{bound}"}} {so_far:.0f}'
        yield f'neocog_seconds_sum{{model="{model}"}} {counters.total(f"{model}/seconds"):.6f}'
        yield f'neocog_seconds_count{{model="{model}"}} {counters.total(f"{model}/count"):.0f}'
