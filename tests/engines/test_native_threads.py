"""The native engine among threads and processes: interrupted, shared, forked, with more threads than can be had."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from engines.native_network import GRAPH, batch
from neocog.engines.base import StepSettings
from neocog.engines.native import NativeEngine
from neocog.errors import NeocogWarning
from neocog.jit import executable
from neocog.nn.graph import trace
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD
from neocog.nn.parameters import initial_parameters
from neocog.nn.zoo import lenet5


def test_interrupting_a_training_step_leaves_no_thread_spinning() -> None:
    """A process that ends in the middle of its work must end."""
    code = (
        "import numpy as np, _thread, threading\n"
        "from neocog.engines.native import NativeEngine\n"
        "from neocog.engines.base import StepSettings\n"
        "from neocog.nn.graph import trace\n"
        "from neocog.nn.losses import CrossEntropy\n"
        "from neocog.nn.optimizers import SGD\n"
        "from neocog.nn.parameters import initial_parameters\n"
        "from neocog.nn.zoo import article\n"
        "g = trace(article(), (28, 28, 1))\n"
        "s = NativeEngine().train_program(g, initial_parameters(g), StepSettings(CrossEntropy(), SGD(), 64), 2)\n"
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "try:\n"
        "    threading.Timer(0.5, _thread.interrupt_main).start()\n"
        "    while True: s.step(np.zeros((64, 28, 28, 1), np.uint8), np.zeros(64, np.int32), 0.1)\n"
        "except KeyboardInterrupt: print('stopped')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, cwd=Path.cwd())
    assert done.stdout.strip() == "stopped"
    assert done.returncode == 0


@pytest.mark.usefixtures("shared")
def test_two_python_threads_may_ask_one_network_at_once() -> None:
    predictor = NativeEngine().predictor(GRAPH, initial_parameters(GRAPH), 2)
    batches = [batch(GRAPH, 9, seed)[0] for seed in range(2)]
    want = [predictor.logits(images).tobytes() for images in batches]
    wrong: list[int] = []

    def ask(which: int) -> None:
        wrong.extend(which for _ in range(100) if predictor.logits(batches[which]).tobytes() != want[which])

    threads = [threading.Thread(target=ask, args=(which,), daemon=True) for which in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_answers_too() -> None:
    code = (
        "import os, sys, numpy as np\n"
        "from neocog.engines.native import NativeEngine\n"
        "from neocog.nn.graph import trace\n"
        "from neocog.nn.parameters import initial_parameters\n"
        "from neocog.nn.zoo import article\n"
        "g = trace(article(), (12, 12, 1))\n"
        "p = NativeEngine().predictor(g, initial_parameters(g), 2)\n"
        "x = np.ones((3, 12, 12, 1), np.float32); want = p.logits(x).tobytes()\n"
        "child = os.fork()\n"
        "same = p.logits(x).tobytes() == want\n"
        "if not child: os._exit(0 if same else 1)\n"
        "print(same, os.waitpid(child, 0)[1])\n"
    )
    environment = {**os.environ, "NEOCOG_THREADS": "2"}
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["True", "0"], done.stderr


FORKS = """
import os, sys, threading
import numpy as np
import neocog as nc
from neocog.jit import executable
from neocog.nn.zoo import article

executable.WORTH_MEETING = executable.WORTH_WAKING = 0
images, labels = np.random.default_rng(0).integers(0, 256, (8, 12, 12, 1), np.uint8), np.arange(8)
known = nc.Model(article(), (12, 12, 1), threads=2)
want = known(images)
begun, ended = [threading.Event() for _ in range(3)], threading.Event()

def keep_on(which, work):
    for n in range(10**9):
        work(n)
        begun[which].set()
        if ended.is_set():
            return

def learn(n):
    nc.Model(article(), (12, 12, 1), threads=2).fit(images, labels, epochs=2, batch_size=4, verbose=0)

def compile_one(n):  # and load, and forget
    nc.Model(nc.Sequential(nc.Conv2d(1 + n % 40, 3), nc.Flatten(), nc.Linear(4)), (12, 12, 1), threads=2)(images)

jobs = [lambda n: known(images), learn, compile_one]
threads = [threading.Thread(target=keep_on, args=pair) for pair in enumerate(jobs)]
for thread in threads:
    thread.start()
for event in begun:
    event.wait()
codes = []
for n in range(6):
    child = os.fork()
    if not child:
        code = 1
        try:
            assert known(images).tobytes() == want.tobytes()
            new = nc.Model(nc.Sequential(nc.Conv2d(60 + n, 3), nc.Flatten(), nc.Linear(8)), (12, 12, 1), threads=2)
            new.fit(images, labels, epochs=1, batch_size=4, verbose=0)
            assert new(images).shape == (8, 8)
            code = 0
        finally:
            os._exit(code)
    codes.append(os.waitpid(child, 0)[1])
    assert known(images).tobytes() == want.tobytes()
ended.set()
for thread in threads:
    thread.join()
print(codes)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_process_forked_while_threads_predict_train_and_compile_can_do_all_of_it(tmp_path: Path) -> None:
    """Locks that other threads held, LLVM at work, and barriers at which they stood must not hold the child up."""
    environment = {**os.environ, "NEOCOG_THREADS": "2", "NEOCOG_CACHE": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", FORKS],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        told, errors = process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # children that hang too
        process.communicate()
        raise
    assert told.split("\n")[0] == "[0, 0, 0, 0, 0, 0]", errors


class TestMoreThreadsThanProcessors:
    """They would wait for each other."""

    @pytest.fixture(autouse=True)
    def two(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NEOCOG_THREADS", "2")

    def test_are_cut_to_the_processors_and_that_is_told(self) -> None:
        settings = StepSettings(CrossEntropy(), SGD(), 4)
        with pytest.warns(NeocogWarning, match=r"using 2 of 64 threads(.|\n)*hint: .*NEOCOG_THREADS=64"):
            assert NativeEngine().predictor(GRAPH, initial_parameters(GRAPH), 64).threads == 2
        with pytest.warns(NeocogWarning, match="using 2 of 3 threads"):
            assert NativeEngine().train_program(GRAPH, initial_parameters(GRAPH), settings, 3).threads == 2

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize(("asked", "used"), [(None, 2), (1, 1), (2, 2)])
    def test_as_many_or_fewer_are_no_matter(self, asked: int | None, used: int) -> None:
        assert NativeEngine().predictor(GRAPH, initial_parameters(GRAPH), asked).threads == used


def test_the_shortest_program_runs_on_one_thread_and_longer_ones_start_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Meeting a thread would take longer than what it could take over."""
    monkeypatch.setenv("NEOCOG_THREADS", "2")
    graph, before = trace(lenet5(), (28, 28, 1)), threading.active_count()
    images = np.random.default_rng(0).integers(0, 256, (64, 28, 28, 1), np.uint8)
    predictor = NativeEngine().predictor(graph, initial_parameters(graph), 2)
    assert executable.multiply_adds(predictor.executable(1).program) < executable.WORTH_MEETING
    alone = predictor.logits(images[:1])
    assert threading.active_count() == before
    assert executable.multiply_adds(predictor.executable(8).program) < executable.WORTH_WAKING
    shared = predictor.logits(images[:8])
    assert threading.active_count() == before + 1
    assert executable.multiply_adds(predictor.executable(64).program) > executable.WORTH_WAKING
    together = predictor.logits(images)
    one = NativeEngine().predictor(graph, initial_parameters(graph), 1)
    for count, answers in ((1, alone), (8, shared), (64, together)):
        assert answers.tobytes() == one.logits(images[:count]).tobytes()


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("most", [0, 1])
def test_where_no_more_threads_can_be_started_fewer_give_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    images, _ = batch(GRAPH, 9)
    want = NativeEngine().predictor(GRAPH, initial_parameters(GRAPH), 1).logits(images)
    start, started = threading.Thread.start, list[threading.Thread]()

    def refuse(thread: threading.Thread) -> None:
        if len(started) == most:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    predictor = NativeEngine().predictor(GRAPH, initial_parameters(GRAPH), 4)
    with pytest.warns(NeocogWarning, match=f"{most + 1} of 4 threads could be started"):
        assert predictor.logits(images).tobytes() == want.tobytes()
    assert predictor.threads == most + 1
    assert predictor.logits(images).tobytes() == want.tobytes()
