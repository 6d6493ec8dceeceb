"""The host is described for what it has, and narrower processors for what they lack."""

from __future__ import annotations

import pytest

from neocog.errors import SettingError
from neocog.jit import host
from neocog.jit.host import NARROWED, host_target, make_target
from neocog.target.processor import Target

X86, ARM = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"


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
    target = target_on(monkeypatch, X86)
    assert (target.lanes, target.registers, target.fma) == (lanes, registers, fma)
    assert target.cpu == NARROWED[name][0]


def target_on(monkeypatch: pytest.MonkeyPatch, triple: str) -> Target:
    """Return the host's target as on a machine of that triple."""
    monkeypatch.setattr(host.llvm, "get_process_triple", lambda: triple)
    host_target.cache_clear()
    try:
        return host_target()
    finally:
        monkeypatch.undo()
        host_target.cache_clear()


def test_the_environment_names_what_every_arm_processor_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEOCOG_CPU", "neon")
    monkeypatch.setattr(host.llvm, "get_host_cpu_features", lambda: {"sve": True})
    target = target_on(monkeypatch, ARM)
    assert (target.cpu, target.features, target.lanes) == ("generic", "", 4)


@pytest.mark.parametrize(("triple", "names"), [(X86, "avx512, avx2, sse2"), (ARM, "neon")])
def test_an_unknown_processor_is_refused(monkeypatch: pytest.MonkeyPatch, triple: str, names: str) -> None:
    monkeypatch.setenv("NEOCOG_CPU", "vax")
    with pytest.raises(SettingError, match=f"NEOCOG_CPU must be one of {names}, got 'vax'"):
        target_on(monkeypatch, triple)


@pytest.mark.parametrize("triple", ["aarch64-unknown-linux-gnu", "arm64-apple-darwin23.5.0"])
def test_arm_has_four_lanes_and_fused_multiply_adds(triple: str) -> None:
    target = make_target("generic", {"neon": True}, triple)
    assert (target.lanes, target.registers, target.fma) == (4, 32, True)
    assert (target.architecture, target.word_bits) == ("arm", 64)
    assert target.features == "+neon"  # and nothing that LLVM knows of x86 alone


def test_code_for_another_system_of_this_processor_does_not_run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.llvm, "get_process_triple", lambda: "arm64-apple-darwin23.5.0")
    assert host.runs_here("arm64-apple-darwin23.5.0")
    assert not host.runs_here("aarch64-unknown-linux-gnu")
    monkeypatch.setattr(host.llvm, "get_process_triple", lambda: "x86_64-unknown-linux-gnu")
    assert host.runs_here("x86_64-pc-linux-gnu")
    assert not host.runs_here("aarch64-unknown-linux-gnu")
    assert not host.runs_here("x86_64-apple-darwin")


@pytest.mark.parametrize(("told", "way"), [(True, "signed quads"), (False, "bytes"), (None, "bytes")])
def test_arm_tells_whether_it_has_dot_products_of_bytes(monkeypatch, told: bool | None, way: str) -> None:
    monkeypatch.delenv("NEOCOG_CPU", raising=False)
    monkeypatch.setattr(host.llvm, "get_host_cpu_features", dict)
    monkeypatch.setattr(host, "has_dot_products", lambda: told)
    assert target_on(monkeypatch, ARM).dot == way
