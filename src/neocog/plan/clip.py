"""Which zeros of a halo a contraction need not multiply."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from neocog.plan.loops import Axis, Clip, Split

MOST_TAPS = 7  # a horizontal clip writes the code of each tap out: no more than this many
LEAST_LENGTH = 32  # of the reduction inside; below, the loops that a clip needs cost more than the zeros


def untagged(axes: Sequence[Axis], kept: Collection[str]) -> list[Axis]:
    """Remove the tags that nothing speaks of, so that their axes may merge."""
    return [axis if axis.tag in kept else replace(axis, tag="") for axis in axes]


def saving_clips(clips: Sequence[Clip], rows: Sequence[Axis], reduction: Sequence[Axis]) -> list[Clip]:
    """Keep the clips that leave something out."""
    extents = {axis.tag: axis.extent for axis in (*rows, *reduction) if axis.tag}
    length = 1
    for axis in reduction:
        length *= 1 if axis.tag else axis.extent
    kept = []
    for clip in clips:
        iterations, taps = extents.get(clip.rows, 1), extents.get(clip.taps, 1)
        pairs = ((row, tap) for row in range(iterations) for tap in range(taps))
        if iterations > 1 and taps > 1 and length >= LEAST_LENGTH and not all(clip.meets(*pair) for pair in pairs):
            kept.append(clip)
    return kept


def choose_clips(clips: Sequence[Clip], rows: Split, reduction: Sequence[Axis]) -> tuple[Clip, ...]:
    """Keep the clips that can be used on rows cut like this.

    A clip of an axis that lies in each tile as a whole is known when the code is written: the multiplications are
    left out. Of an axis that runs one by one, or in parts, it becomes bounds of the outermost loop over k, worked out
    for each tile.
    """
    taps = {axis.tag: axis.extent for axis in reduction}
    return tuple(
        clip
        for clip in clips
        if (taps[clip.taps] <= MOST_TAPS if is_written(clip, rows) else clip.taps == reduction[0].tag)
    )


def is_written(clip: Clip, rows: Split) -> bool:
    """Whether every tile holds the clip's axis as a whole, so that the clip is known when the code is written."""
    return any(axis.tag == clip.rows for axis in rows.inner) or (rows.cut.tag == clip.rows and rows.parts == 1)
