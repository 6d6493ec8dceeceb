"""What a forked process inherits is made anew before anything else runs there."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from collections.abc import Callable

import numpy as np
import pytest

from neocog import forks
from neocog.data.cache import ImageCache
from neocog.data.resize import ImageSize
from neocog.forks import tell_of_forks

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]


class Owner:
    def __init__(self) -> None:
        self.told = 0
        tell_of_forks(self)

    def after_fork(self) -> None:
        self.told += 1


def in_child(question: Callable[[], bool]) -> bool:
    """Answer a question in a forked process."""
    child = os.fork()
    if not child:
        code = 1
        try:
            code = 0 if question() else 1
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def test_every_child_is_told_and_the_parent_is_not() -> None:
    owner = Owner()
    assert in_child(lambda: owner.told == 1)
    assert in_child(lambda: owner.told == 1 and in_child(lambda: owner.told == 2))
    assert owner.told == 0


def test_nobody_is_kept_alive_for_it() -> None:
    owner = Owner()
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None
    assert all(found is not None for found in forks._registered)


def test_an_image_cache_is_open_in_a_child_though_a_thread_held_it() -> None:
    cache, size = ImageCache(2), ImageSize(4, 4, 1)
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with cache._lock:
            held.set()
            release.wait(120)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)

    def read() -> bool:
        images, readable = cache.read(
            np.arange(2), size, "stretch", np.uint8, lambda index: np.full(size.shape, index, np.uint8)
        )
        return bool(readable.all()) and images[1].min() == 1

    try:
        assert in_child(read)
    finally:
        release.set()
        thread.join()
