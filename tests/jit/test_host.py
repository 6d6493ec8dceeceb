"""The host is described for what it has, and narrower processors for what they lack."""

from __future__ import annotations

import pytest

from neocog.errors import SettingError
from neocog.jit import host
from neocog.jit.host import NARROWED, host_target, make_target


def test_this_machine_is_described() -> None:
    target = host_target()
    assert target.lanes in (4, 8, 16)
    assert target.level1 >= 8 << 10
    assert "prefer-256-bit" not in target.features.replace("-prefer-256-bit", "")


@pytest.mark.parametrize(
    ("name", "lanes", "registers", "fma"), [("avx512", 16, 32, True), ("avx2", 8, 16, True), ("sse2", 4, 16, False)]
)
def test_the_environment_names_a_narrower_processor(
    monkeypatch: pytest.MonkeyPatch, name: str, lanes: int, registers: int, fma: bool
) -> None:
    monkeypatch.setenv("NEOCOG_CPU", name)
    monkeypatch.setattr(host.llvm, "get_host_cpu_features", lambda: NARROWED[name][1])  # whatever this machine has
    host_target.cache_clear()
    try:
        target = host_target()
    finally:
        monkeypatch.undo()
        host_target.cache_clear()
    assert (target.lanes, target.registers, target.fma) == (lanes, registers, fma)
    assert target.cpu == NARROWED[name][0]


def test_an_unknown_processor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEOCOG_CPU", "vax")
    host_target.cache_clear()
    with pytest.raises(SettingError, match="NEOCOG_CPU must be one of avx512, avx2, sse2, got 'vax'"):
        host_target()
    host_target.cache_clear()


@pytest.mark.parametrize("triple", ["aarch64-unknown-linux-gnu", "arm64-apple-darwin23.5.0"])
def test_arm_has_four_lanes_and_fused_multiply_adds(triple: str) -> None:
    target = make_target("generic", {"neon": True}, triple)
    assert (target.lanes, target.registers, target.fma) == (4, 32, True)
    assert (target.architecture, target.word_bits) == ("aarch64", 64)
    assert target.features == "+neon"  # and nothing that LLVM knows of x86 alone
