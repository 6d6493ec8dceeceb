"""What the innermost loops of exported code for 64-bit ARM do for each multiply-add, beside those for SSE2."""

from __future__ import annotations

from functools import cache

import pytest

from tools.inner_loops import TARGETS, Loop, exported, inner_loops, main_loops

PRODUCTS = ("conv 3x3", "conv 1x1", "conv 5x5")


@cache
def main_loop(name: str, kind: str) -> Loop:
    return main_loops(exported(name, TARGETS[kind]), kind == "NEON")[0]


@pytest.mark.parametrize("name", [*PRODUCTS, "depthwise 3x3"])
def test_sums_stay_in_registers_on_arm(name: str) -> None:
    loop = main_loop(name, "NEON")
    assert loop.multiply_adds >= 60
    assert loop.spills == 0


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_on_arm_multiply_by_a_lane(name: str) -> None:
    """A scalar is loaded and multiplied with, by no instruction more; all lanes filled with it is the exception."""
    loop = main_loop(name, "NEON")
    assert loop.by_lane >= 0.9 * loop.multiply_adds
    assert loop.each(loop.copies) <= 0.05
    assert loop.each(loop.instructions) <= 2


@pytest.mark.parametrize("name", [*PRODUCTS, "depthwise 3x3"])
def test_arm_loads_no_more_for_a_multiply_add_than_sse2(name: str) -> None:
    arm, x86 = main_loop(name, "NEON"), main_loop(name, "SSE2")
    assert arm.each(arm.loads) <= x86.each(x86.loads)
    assert arm.each(arm.instructions) < x86.each(x86.instructions)


def test_instructions_are_told_apart() -> None:
    arm = (
        ".outer:\n\tldr\tq9, [x1]\n.inner:\n\tldp\tq0, q1, [x1]\n\tldr\ts2, [x0, #4]\n\tfmla\tv3.4s, v0.4s, v2.s[0]\n"
        "\tfmla\tv4.4s, v1.4s, v5.4s\n\tstr\tq3, [sp, #16]\n\tldr\tx3, [sp]\n\tmov\tv6.16b, v7.16b // kept\n"
        "\tfadd\tv1.4s, v1.4s, v2.4s\n\tstr\tq4, [x2]\n\tb.ne\t.inner\n\tb.ne\t.outer\n"
    )
    assert inner_loops(arm, True) == [Loop(10, 2, 1, 1, 3, 1, 1, 1)]
    x86 = (
        ".inner:\n\tmovss\t4(%rdi), %xmm0\n\tshufps\t$0, %xmm0, %xmm0\n\tmulps\t(%rsi), %xmm0\n\taddps\t%xmm0, %xmm1\n"
        "\tmovaps\t%xmm1, 16(%rsp)\n\taddps\t32(%rsp), %xmm2 # kept\n\tmovaps\t%xmm2, (%rdx)\n\tjne\t.inner\n"
    )
    assert inner_loops(x86, False) == [Loop(8, 1, 0, 2, 2, 1, 1, 2)]


def test_slots_of_the_stack_are_known_by_the_frame_pointer_too() -> None:
    loop = (
        ".inner{0}:\n\tfmla\tv3.4s, v0.4s, v2.s[0]\n\tstr\tq3, [x29, #-16]\n\tldr\tq4, [x19, #32]\n\tb.ne\t.inner{0}\n"
    )
    framed = "one:\n\tadd\tx29, sp, #16\n\tmov\tx19, sp\n" + loop.format(0)
    arm = framed + "other:\n\tmov\tx29, x1\n" + loop.format(1)  # which has other things in these registers
    assert [(each.spills, each.loads, each.stores) for each in inner_loops(arm, True)] == [(2, 0, 0), (0, 1, 1)]
    loop = ".inner{0}:\n\tmulps\t-32(%rbp), %xmm0\n\tmovaps\t%xmm1, 16(%rbx)\n\tjne\t.inner{0}\n"
    framed = "one:\n\tmovq\t%rsp, %rbp\n\tmovq\t%rsp, %rbx\n" + loop.format(0)
    x86 = framed + "other:\n\tmovq\t%rdi, %rbp\n" + loop.format(1)
    assert [(each.spills, each.loads, each.stores) for each in inner_loops(x86, False)] == [(2, 0, 0), (0, 1, 1)]
