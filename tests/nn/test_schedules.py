"""Schedules, step by step: against PyTorch's where it is installed, and by hand."""

import math

import pytest

from neocog.errors import SettingError
from neocog.nn.schedules import (
    Constant,
    Cosine,
    LinearDecay,
    OneCycle,
    Plateau,
    PolynomialDecay,
    Step,
    Warmup,
)

STEPS = 40


def pytorch_factors(make, steps=STEPS):
    """Return the learning rates of a PyTorch schedule over a rate of 1."""
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0)
    schedule = make(torch.optim.lr_scheduler, optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_one_cycle_is_pytorchs():
    theirs = pytorch_factors(lambda peers, o: peers.OneCycleLR(o, 1.0, total_steps=STEPS + 1))
    # PyTorch's rise ends at step 0.3 · total - 1, and its fall at the last step.
    ours = OneCycle(warmup=(0.3 * (STEPS + 1) - 1) / STEPS)
    assert [ours.factor(step / STEPS) for step in range(STEPS)] == pytest.approx(theirs)


def test_a_line_is_pytorchs():
    theirs = pytorch_factors(lambda peers, o: peers.LinearLR(o, 0.25, 0.75, total_iters=STEPS))
    ours = LinearDecay(0.25, 0.75)
    assert [ours.factor(step / STEPS) for step in range(STEPS)] == pytest.approx(theirs)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_a_polynomial_is_pytorchs(power):
    theirs = pytorch_factors(lambda peers, o: peers.PolynomialLR(o, STEPS, power))
    ours = PolynomialDecay(power)
    assert [ours.factor(step / STEPS) for step in range(STEPS)] == pytest.approx(theirs, abs=1e-12)


def test_a_warm_up_before_another_schedule_is_pytorchs():
    def make(peers, optimizer):
        rise = peers.LinearLR(optimizer, 0.1, 1.0, total_iters=STEPS // 4)
        fall = peers.CosineAnnealingLR(optimizer, STEPS - STEPS // 4)
        return peers.SequentialLR(optimizer, [rise, fall], [STEPS // 4])

    ours = Warmup(Cosine(), share=0.25, start=0.1)
    assert [ours.factor(step / STEPS) for step in range(STEPS)] == pytest.approx(pytorch_factors(make))


@pytest.mark.parametrize(
    "plateau",
    [
        Plateau(0.5, patience=1),
        Plateau(0.5, patience=0, cooldown=2),
        Plateau(0.1, patience=1, threshold=0.2, least=0.05),
        Plateau(0.5, patience=2, monitor="accuracy"),
    ],
    ids=str,
)
def test_a_plateau_is_pytorchs(plateau):
    torch = pytest.importorskip("torch")
    values = [1.0, 0.9, 0.95, 0.9, 0.9, 0.4, 0.5, 0.6, 0.5, 0.39, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.1, 0.2, 0.3, 0.3]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer,
        "min" if plateau.monitor == "loss" else "max",
        plateau.drop,
        plateau.patience,
        plateau.threshold,
        cooldown=plateau.cooldown,
        min_lr=plateau.least,
    )
    seen = set()
    for count, value in enumerate(values, 1):
        theirs.step(value)
        measured = [(v, 0.0) if plateau.monitor == "loss" else (0.0, v) for v in values[:count]]
        assert plateau.after(measured) == pytest.approx(optimizer.param_groups[0]["lr"]), count
        seen.add(plateau.after(measured))
    assert len(seen) > 2
    assert Warmup(plateau).after(measured) == plateau.after(measured)


def test_other_schedules_do_not_hang_on_the_epochs_done():
    for schedule in (Constant(), Step(), Cosine(), OneCycle(), LinearDecay(), PolynomialDecay(), Warmup(Cosine())):
        assert schedule.after([(1.0, 0.5), (math.inf, 0.0)]) == 1.0
        assert all(0.0 <= schedule.factor(share / 64) <= 1.0 for share in range(65))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OneCycle(warmup=1.0), "OneCycle: warmup must lie in [0, 1), got 1.0"),
        (lambda: OneCycle(start=2.0), "OneCycle: start must lie in [0, 1], got 2.0"),
        (lambda: LinearDecay(final=-1.0), "LinearDecay: final must lie in [0, 1], got -1.0"),
        (lambda: PolynomialDecay(0.0), "PolynomialDecay: power must be above 0 and finite, got 0.0"),
        (lambda: Plateau(drop=1.0), "Plateau: drop must lie between 0 and 1, got 1.0"),
        (lambda: Plateau(patience=-1), "Plateau: patience must be an integer of 0 or more, got -1"),
        (lambda: Plateau(monitor="val"), "Plateau: monitor must be"),
        (lambda: Warmup(Warmup()), "Warmup: schedule must be another schedule"),
        (lambda: Warmup(share=1.0), "Warmup: share must lie in [0, 1), got 1.0"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(SettingError) as refused:
        make()
    assert message in str(refused.value)
