"""How Python's processes come to tile registers, are refused them, compute with them, and leave them.

Each runs within the emulated machine, in a child that guest.py forks for it. Digests in EXPECTED are of what vectors
computed on the machine outside.
"""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from amx import cases
from amx.bare import CONFIGURED, HELD, bare, ends_a_process, execute, states
from amx.guest import in_a_child, permitted
from amx.refusal import SMALL_STACK, filter_system_calls, handles_signals_on
from neocog.engines import get_engine
from neocog.engines.native import NativeEngine
from neocog.engines.native.prediction import NativePredictor
from neocog.engines.precision import settled, would_gain
from neocog.errors import EngineError, NeocogWarning
from neocog.jit import executable
from neocog.jit.host import has_tiles, host_target, why_no_tiles, with_tiles
from neocog.jit.team import Job, Team
from neocog.nn.parameters import initial_parameters
from neocog.target.processor import Target

EXPECTED: dict[str, str] = {}  # of each case, what vectors computed
COMPUTED = (
    *("network: 40 images", "network: NaN, infinities, denormals", "network in int8: 9 images"),
    *("training: plain", "training: strides", "training: normalized", "training: depthwise"),
)
NETWORK, TRAINING = "network: 40 images", "training: plain"
COUNT = 40  # images of that network
REFUSED = "the system does not let this process use AMX"
ASKED = 20  # times that a signal comes, spread over the time of a call


def given() -> Target:
    """Ask for tile registers, and return the processor with them."""
    target = with_tiles(host_target())
    assert target.tiles, why_no_tiles()
    assert permitted()
    return target


def computes(name: str, threads: int, target: Target | None = None) -> None:
    """Check that a case has the bits of vectors."""
    found = cases.digest(cases.networks()[name](target or given(), threads))
    assert found == EXPECTED[name], f"{name}, {threads} threads: other bits"


def answering(threads: int, target: Target | None = None) -> Callable[[], None]:
    """Return what asks a network and checks its answer."""
    ask = cases.answering(target or given(), threads, cases.TAILS, COUNT)

    def check() -> None:
        assert cases.digest(ask()) == EXPECTED[NETWORK], f"{threads} threads: other bits"

    return check


def is_refused() -> None:
    """Check that there are no tiles, that networks answer without, and that an engine for tiles is refused."""
    with_them = replace(host_target(), tiles=True, byte_tiles=True)
    engine = pickle.loads(pickle.dumps(NativeEngine(with_them, precision="bfloat16")))
    assert with_tiles(host_target()) == host_target()
    assert not permitted()
    assert why_no_tiles() == REFUSED
    assert not would_gain()
    assert settled("auto") == "float32"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert settled("bfloat16") == "bfloat16"
    assert [REFUSED in str(each.message) for each in told if each.category is NeocogWarning] == [True]
    computes(NETWORK, 1, host_target())
    with pytest.raises(EngineError, match=REFUSED):
        engine.predictor(cases.TAILS, initial_parameters(cases.TAILS), 1).logits(np.zeros((1, 9, 12, 3), np.float32))


# --- asking -----------------------------------------------------------------------------------------------------------


def a_tile_instruction_ends_a_process_that_did_not_ask() -> None:
    """So the processor and Linux do as they should, and asking is no idle question."""
    assert ends_a_process(bare("ldtilecfg", "tilerelease"))


def tiles_are_asked_for_when_bfloat16_is() -> None:
    target = host_target()
    assert has_tiles(target)
    assert not target.tiles
    assert not NativeEngine().target.tiles
    assert not permitted()
    assert settled("auto") == "bfloat16"
    assert permitted()
    assert would_gain()
    assert why_no_tiles() is None
    assert get_engine("native", "auto").precision == "bfloat16"
    assert NativeEngine(precision="bfloat16").target == replace(target, tiles=True, byte_tiles=True)
    assert not NativeEngine().target.tiles
    execute(bare("ldtilecfg", "tilerelease"))


def a_small_stack_for_signals_means_no_tiles() -> None:
    kept = handles_signals_on(SMALL_STACK)
    is_refused()
    assert len(kept) == SMALL_STACK


def a_small_stack_of_another_thread_means_no_tiles() -> None:
    ready, done = threading.Event(), threading.Event()

    def work() -> None:
        kept = handles_signals_on(SMALL_STACK)
        ready.set()
        done.wait()
        assert len(kept) == SMALL_STACK

    other = threading.Thread(target=work)
    other.start()
    ready.wait()
    try:
        is_refused()
    finally:
        done.set()
        other.join()


def a_filter_of_system_calls_means_no_tiles() -> None:
    filter_system_calls()
    is_refused()


def threads_from_before_may_use_them_too() -> None:
    go, passed = threading.Event(), []

    def late() -> None:
        go.wait()
        computes(NETWORK, 1)
        passed.append(True)

    older = threading.Thread(target=late)
    older.start()
    given()
    go.set()
    older.join()
    younger = threading.Thread(target=late)
    younger.start()
    younger.join()
    assert passed == [True, True]


def an_executed_program_asks_for_itself() -> None:
    """It gets an engine as a pickle, from a process that was permitted."""
    answering(2)()
    code = (
        "import pickle, sys; from amx import cases; from amx.guest import permitted; from neocog.jit.host import *;"
        "engine = pickle.load(sys.stdin.buffer); before = permitted();"
        "images = cases.np.ones((3, 9, 12, 3), cases.np.float32);"
        "answers = engine.predictor(cases.TAILS, cases.initial_parameters(cases.TAILS), 1).logits(images);"
        "print(before, permitted(), cases.digest({'logits': answers}))"
    )
    engine = NativeEngine(given(), precision="bfloat16")
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(engine), stdout=subprocess.PIPE, check=True)
    images = np.ones((3, 9, 12, 3), np.float32)
    logits = engine.predictor(cases.TAILS, initial_parameters(cases.TAILS), 1).logits(images)
    assert done.stdout.decode().split() == ["False", "True", cases.digest({"logits": logits})], done.stdout


# --- computing --------------------------------------------------------------------------------------------------------


def tests_of_tiles_pass() -> None:
    command = ["-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider", "--durations=9", "tests/jit/test_tiles.py"]
    assert subprocess.run([sys.executable, *command], cwd="/neocog", check=False).returncode == 0


def one_thread_has_the_bits_of_vectors() -> None:
    for name in COMPUTED:
        computes(name, 1)


def two_threads_have_the_bits_of_vectors() -> None:
    """They meet at barriers while their registers are set up, each on a processor of its own, and then on one."""
    assert len(os.sched_getaffinity(0)) == 2
    for name in COMPUTED:
        computes(name, 2)
    os.environ["NEOCOG_THREADS"] = "2"  # though there is one processor: Linux keeps the registers of one at a time
    os.sched_setaffinity(0, {0})
    for name in (NETWORK, TRAINING):
        computes(name, 2)


def threads_that_share_short_programs_have_the_bits_of_vectors() -> None:
    executable.WORTH_WAKING = 1 << 60  # a program is shared with those that are awake
    check = answering(2)
    for _ in range(20):  # at first this thread does all
        check()


def registers_are_given_back() -> None:
    """By every thread of a team: behind a program each says which of its states are in use."""
    compiler = NativeEngine(given(), precision="bfloat16").compiler
    assert CONFIGURED in states(execute(bare("ldtilecfg", "xgetbv", "tilerelease")))  # that is seen of one that is not
    team = Team(2)
    predictor = NativePredictor(compiler, cases.TAILS, initial_parameters(cases.TAILS), team)
    predictor.logits(np.ones((COUNT, 9, 12, 3), np.float32))
    look, seen = bare("xgetbv"), np.full(2, -1, np.int64)
    team.run(Job(look.functions["run"], [(word.ctypes.data, 0, 0, 0) for word in np.split(seen, 2)]))
    assert not any({CONFIGURED, HELD} & states(int(word)) for word in seen), seen
    assert ends_a_process(bare("tilezero"))


def forks_compute_while_a_team_is_there() -> None:
    check = answering(2)
    check()

    def work() -> None:
        assert permitted()
        check()  # its team is made anew
        computes(TRAINING, 2)
        assert in_a_child(check) == 0

    assert in_a_child(work) == 0
    check()


def forks_compute_while_another_thread_does() -> None:
    check, stop, wrong = answering(1), threading.Event(), []

    def work() -> None:
        again = answering(1)
        while not stop.is_set():
            try:
                again()
            except AssertionError as error:
                wrong.append(error)

    busy = threading.Thread(target=work)
    busy.start()
    try:
        for _ in range(2):
            assert in_a_child(check) == 0
    finally:
        stop.set()
        busy.join()
    assert not wrong


def two_networks_take_turns() -> None:
    """One learns while the other one answers, each in a thread of its own: Linux keeps the registers of both."""
    wrong: list[str] = []

    def answer() -> None:
        check = answering(1)
        for _ in range(12):
            check()

    def work(does: Callable[[], None]) -> None:
        try:
            does()
        except AssertionError as error:
            wrong.append(str(error))

    jobs = (answer, lambda: [computes(TRAINING, 1) for _ in range(3)])
    threads = [threading.Thread(target=work, args=(each,)) for each in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def handlers_of_signals_compute() -> None:
    """A signal comes at any time of a call. Linux puts the registers onto the stack while the interpreter's own handler
    notes it; that of the program runs behind the call, and asks another network.
    """
    check, other = answering(1), answering(1)
    seen: list[float] = []

    def handle(number: int, frame: object) -> None:
        seen.append(time.perf_counter())
        if len(seen) % 4 == 0:
            other()

    before = signal.signal(signal.SIGALRM, handle)
    check()
    start = time.perf_counter()
    check()
    taken = time.perf_counter() - start
    late, draw = 0, random.Random(1)
    try:
        for _ in range(ASKED):
            delay, count = max(1e-5, draw.random() * taken), len(seen)
            due = time.perf_counter() + delay
            signal.setitimer(signal.ITIMER_REAL, delay)
            check()
            while len(seen) == count:
                time.sleep(taken)
            late += seen[count] - due > taken / 20  # it came in the middle of a call into machine code
    finally:
        signal.signal(signal.SIGALRM, before)
    print(f"{len(seen)} signals, {late} of them within long calls; {taken * 1e3:.2f} ms a call")
    assert len(seen) == ASKED
    assert late > 0


def what_this_machine_compiles_has_the_bits_of_vectors() -> None:
    """LLVM runs in here, for the processor that it finds; all other programs were compiled outside."""
    folder = Path("/tmp/compiled")
    os.environ["NEOCOG_CACHE"] = str(folder)
    assert not folder.exists()
    answering(1)()
    assert any(folder.glob("*.o"))


CHECKS: dict[str, Callable[[], None]] = {
    each.__name__.replace("_", " "): each
    for each in (
        *(a_tile_instruction_ends_a_process_that_did_not_ask, tiles_are_asked_for_when_bfloat16_is),
        *(a_small_stack_for_signals_means_no_tiles, a_small_stack_of_another_thread_means_no_tiles),
        *(a_filter_of_system_calls_means_no_tiles, one_thread_has_the_bits_of_vectors),
        *(two_threads_have_the_bits_of_vectors, threads_that_share_short_programs_have_the_bits_of_vectors),
        *(registers_are_given_back, threads_from_before_may_use_them_too, forks_compute_while_a_team_is_there),
        *(forks_compute_while_another_thread_does, two_networks_take_turns, handlers_of_signals_compute),
        *(an_executed_program_asks_for_itself, tests_of_tiles_pass),
        *(what_this_machine_compiles_has_the_bits_of_vectors,),
    )
}
