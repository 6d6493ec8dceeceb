"""Batches: who comes alone is not kept waiting, who comes with others is answered with them, and not too many wait."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.serve.conftest import LIMIT, picture
from app.serve.loops import run_in_loop
from neocog.app.serve.batcher import QUICK_PIXELS, Batcher, FullError, LateError
from neocog.app.serve.counters import Counters
from neocog.app.serve.settings import Settings
from neocog.data.decode import decode_image
from neocog.data.faults import TooManyPixelsError
from neocog.data.resize import ImageSize
from neocog.errors import DataError

SIZE = ImageSize(4, 4, 3)


class Model:
    """A model that answers with the mean of an image, when it may."""

    name = "mean"

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.may = threading.Event()
        self.may.set()
        self.asked = threading.Event()

    def decode(self, picture: bytes, name: str, max_pixels: int) -> Any:
        return decode_image(picture, SIZE, name=name, max_pixels=max_pixels)

    def answer(self, images: Any) -> Any:
        self.asked.set()
        assert self.may.wait(LIMIT)
        self.batches.append(len(images))
        if (images == 255).all(axis=(1, 2, 3)).any():
            raise DataError("white is refused")
        return images.reshape(len(images), -1).mean(axis=1, keepdims=True).astype(np.float32)


def run(test: Callable[[Batcher, Model, Counters], Any], **settings: Any) -> Any:
    """Run a coroutine with a batcher, and end its threads."""

    async def within() -> Any:
        model, counters = Model(), Counters(1, ["mean"])
        made = replace(Settings(max_wait=LIMIT), **settings)
        batcher = Batcher(model, made, counters.row(0), asyncio.get_running_loop())  # type: ignore[arg-type]
        try:
            return await asyncio.wait_for(test(batcher, model, counters), LIMIT)
        finally:
            model.may.set()
            batcher.close()

    return run_in_loop(within)


async def hold(batcher: Batcher, model: Model) -> asyncio.Task[Any]:
    """Have a request be under way that is not answered until `model.may`."""
    model.may.clear()
    first = asyncio.create_task(batcher.ask((picture(0),)))
    await asyncio.to_thread(model.asked.wait, LIMIT)
    return first


def test_who_comes_alone_is_answered_at_once() -> None:
    async def test(batcher: Batcher, model: Model, counters: Counters) -> None:
        for _ in range(3):  # `max_wait` would end this test
            await batcher.ask((picture(1),))
        assert model.batches == [1, 1, 1]

    run(test)


def test_those_that_come_meanwhile_are_answered_together_each_with_its_own() -> None:
    async def test(batcher: Batcher, model: Model, counters: Counters) -> None:
        first = await hold(batcher, model)
        files = [picture(seed) for seed in range(1, 9)]
        others = [asyncio.create_task(batcher.ask((file,))) for file in files]
        await asyncio.sleep(0)
        model.may.set()
        await first
        found = [(await other).probabilities[0, 0] for other in others]
        assert found == [decode_image(file, SIZE).astype(np.float64).mean().astype(np.float32) for file in files]
        assert model.batches == [1, 4, 4]
        assert counters.total("mean/images") == 9
        assert counters.total("waiting_images") == 0

    run(test, max_batch=4)


def test_no_more_wait_than_may() -> None:
    async def test(batcher: Batcher, model: Model, counters: Counters) -> None:
        first = await hold(batcher, model)
        others = [asyncio.create_task(batcher.ask((picture(1),))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(FullError):
            await batcher.ask((picture(1),))
        assert counters.total("waiting_images") == 3
        model.may.set()
        await asyncio.gather(first, *others)
        await batcher.ask((picture(1),) * 5)  # more than may wait, but nobody else does
        await batcher.ask((picture(1),))

    run(test, max_queue=3)


def test_who_has_waited_too_long_is_told_and_costs_nothing_more() -> None:
    async def test(batcher: Batcher, model: Model, counters: Counters) -> None:
        first = await hold(batcher, model)
        late = asyncio.create_task(batcher.ask((picture(1),)))
        await asyncio.sleep(0)
        time.sleep(0.3)
        model.may.set()
        await first
        with pytest.raises(LateError):
            await late
        assert model.batches == [1]

    run(test, timeout=0.2)


def test_who_has_gone_is_not_answered() -> None:
    async def test(batcher: Batcher, model: Model, counters: Counters) -> None:
        first = await hold(batcher, model)
        gone = asyncio.create_task(batcher.ask((picture(1),)))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        model.may.set()
        await first
        await batcher.ask((picture(2),))
        assert model.batches == [1, 1]

    run(test)


def test_what_cannot_be_answered_spoils_nothing_that_comes_with_it() -> None:
    async def test(batcher: Batcher, model: Model, counters: Counters) -> None:
        first = await hold(batcher, model)
        good = asyncio.create_task(batcher.ask((picture(1),)))
        damaged = asyncio.create_task(batcher.ask((picture(1)[:100],)))
        bad = asyncio.create_task(batcher.ask(np.full((2, 4, 4, 3), 255, np.uint8)))
        also = asyncio.create_task(batcher.ask(np.zeros((1, 4, 4, 3), np.uint8)))
        await asyncio.sleep(0)

        model.may.set()
        await first
        assert (await also).probabilities[0, 0] == 0
        assert (await good).probabilities[0, 0] > 0
        for wrong in (damaged, bad):
            with pytest.raises(DataError):
                await wrong
        assert counters.total("mean/unreadable") == 2

    run(test)


def test_an_image_of_many_pixels_lets_others_pass() -> None:
    side = int(QUICK_PIXELS**0.5) + 1

    async def test(batcher: Batcher, model: Model, counters: Counters) -> None:
        may, decoding, own = threading.Event(), threading.Event(), model.decode

        def decode(file: bytes, name: str, max_pixels: int) -> Any:
            if max_pixels > QUICK_PIXELS:
                decoding.set()
                assert may.wait(LIMIT)
            return own(file, name, max_pixels)

        model.decode = decode  # type: ignore[method-assign]
        large = asyncio.create_task(batcher.ask((picture(3, (side, side)),)))
        await asyncio.to_thread(decoding.wait, LIMIT)
        await batcher.ask((picture(1),))
        assert not large.done()
        may.set()
        assert 0 < (await large).probabilities[0, 0] < 255
        with pytest.raises(TooManyPixelsError):
            await batcher.ask((picture(3, (side, 2 * side)),))

    run(test, max_pixels=2 * QUICK_PIXELS)


def test_a_model_that_is_replaced_meanwhile_decodes_for_itself() -> None:
    async def test(batcher: Batcher, model: Model, counters: Counters) -> None:
        first = await hold(batcher, model)
        second = asyncio.create_task(batcher.ask((picture(1),)))
        await asyncio.sleep(0)
        other = Model()
        batcher.replace(other)  # type: ignore[arg-type]
        model.may.set()
        assert (await first).model is model
        assert (await second).model is other

    run(test)
