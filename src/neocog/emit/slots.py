"""Where the arguments of a call lie: the slots of a program's control block, which emitters read and callers write.

This is apart from the emitters, so that a program whose objects are in the cache runs without loading them.
"""

from __future__ import annotations

from neocog.plan.program import FIRST_KEY_SLOT, Program

IMAGES_SLOT, TARGETS_SLOT, COUNT_SLOT, KIND_SLOT = 0, 1, 2, 3
KIND_FLOAT, KIND_UINT8 = 0, 1
TARGET_KIND_SLOT, LOSS_WEIGHTS_SLOT = 4, 5  # the weights: where a loss has any, one float32 for each output
TARGET_LABELS, TARGET_ROWS = 0, 1
LEARNING_RATE_SLOT, FIRST_SCALAR_SLOT = 6, 7  # the optimizer's scalars of the step lie up to the next
WHOLE_SLOT = FIRST_KEY_SLOT - 2  # images of the step, where it is cut into slices (neocog.nn.slicing)
STEP_SLOT = FIRST_KEY_SLOT - 1  # the number of the step, as a float32
LINE_SLOTS = 8  # slots of a cache line


def barrier_slot(program: Program) -> int:
    """Return the slot where the barrier begins, on a cache line of its own."""
    used = FIRST_KEY_SLOT + len(program.dropouts)
    return (-(-used // LINE_SLOTS) + 1) * LINE_SLOTS


def control_slots(program: Program) -> int:
    """Return the number of slots of a program's arguments, the barrier included."""
    return barrier_slot(program) + 2 * LINE_SLOTS
