"""The model of steps on many machines: its arithmetic, and that a fit finds what made the figures."""

import pytest

from benchmarks.ranks.model import Exchange, Network, Step, fit, passed, slowest

GIGABIT = Network(latency=0.0004, bandwidth=118e6)


def test_a_fit_finds_the_network_that_made_the_figures():
    sizes = (1e3, 1e5, 1e6, 1e7)
    found = fit([Exchange(ranks, size, GIGABIT.all_reduce(ranks, size)) for ranks in (2, 3, 4) for size in sizes])
    assert found.latency == pytest.approx(GIGABIT.latency, rel=1e-6)
    assert found.bandwidth == pytest.approx(GIGABIT.bandwidth, rel=1e-6)


def test_no_time_of_a_fit_is_below_zero():
    found = fit([Exchange(2, 1e5, 1e-4), Exchange(2, 2e5, 4e-4)])  # a line through them would begin below
    assert found.latency == 0.0
    assert 5e8 < found.bandwidth < 1e9


def test_a_process_sends_half_of_a_gradient_twice_where_there_are_two():
    assert passed(2, 100.0) == 100.0
    assert passed(4, 100.0) == 150.0
    assert GIGABIT.all_reduce(1, 1e9) == 0.0


def test_the_slowest_of_several_is_later_the_more_there_are():
    assert slowest(1) == pytest.approx(0.0, abs=1e-12)
    assert slowest(2) == pytest.approx(0.5642, rel=0.05)  # 1 / sqrt(pi)
    assert slowest(4) == pytest.approx(1.0294, rel=0.05)


def test_accumulation_and_compression_leave_more_of_a_step_to_computing():
    step = Step(compute=0.1, spread=0.001, size=45e6)
    plain = step.efficiency(64, GIGABIT)
    assert plain == pytest.approx(0.1 / (0.1 + 0.001 * slowest(64) + GIGABIT.all_reduce(64, 45e6)))
    assert step.efficiency(64, GIGABIT, accumulated=4) > plain
    assert step.efficiency(64, GIGABIT, compressed=0.5) > plain
    assert step.efficiency(1, GIGABIT) == 1.0
