"""What moves values: most of it is only another way to look at them, until a layer needs to know."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neocog.interop.onnx.call import NodeCall, Unsupported, Value
from neocog.interop.onnx.constants import axes_of
from neocog.interop.onnx.parts import Flow, Pad
from neocog.interop.onnx.views import View, mixes_batch, reshaped
from neocog.nn.layer import channels_of
from neocog.nn.layers import Slice
from neocog.nn.shapes import ImageShape


def _seen(x: Flow, view: View | None, what: str) -> Flow:
    if view is None or mixes_batch(view):
        raise Unsupported(f"{what} of {list(x.dims)} mixes what belongs to several images, or cuts axes unevenly")
    return Flow(x.value, x.shape, view, x.order)


def reshape(call: NodeCall) -> Flow:
    """Read a Reshape."""
    x, target = call.flow(), call.integers(1)
    if target is None:
        raise Unsupported("its shape must be a constant")
    return _seen(x, reshaped(x.view, call.reshape_target(x.dims, target)), f"a reshape to {list(target)}")


def flatten(call: NodeCall) -> Flow:
    """Read a Flatten."""
    x = call.flow()
    rank = len(x.view)
    axis = call.attribute("axis", 1)
    axis = rank if axis == rank else call.axis(axis, rank)
    sides = int(np.prod(x.dims[:axis], dtype=object)), int(np.prod(x.dims[axis:], dtype=object))
    return _seen(x, reshaped(x.view, sides), f"a flatten at axis {axis}")


def squeeze(call: NodeCall) -> Flow:
    """Read a Squeeze."""
    x = call.flow()
    axes = axes_of(call, 1, len(x.view), 13)
    if axes is None:
        axes = tuple(place for place, side in enumerate(x.dims) if side == 1 and not x.view[place])
    if any(x.view[axis] for axis in axes):
        raise Unsupported(f"it squeezes axes {list(axes)} of {list(x.dims)}")
    return Flow(x.value, x.shape, tuple(axis for place, axis in enumerate(x.view) if place not in axes), x.order)


def unsqueeze(call: NodeCall) -> Flow:
    """Read an Unsqueeze."""
    x = call.flow()
    axes = call.integers(1) if call.opset >= 13 else call.attribute("axes", None)
    if axes is None:
        raise Unsupported("its axes must be given")
    rank = len(x.view) + len(axes)
    added = {call.axis(axis, rank) for axis in axes}
    rest = iter(x.view)
    return Flow(x.value, x.shape, tuple(() if place in added else next(rest) for place in range(rank)), x.order)


def transpose(call: NodeCall) -> Flow:
    """Read a Transpose."""
    x = call.flow()
    order = call.attribute("perm", None) or tuple(reversed(range(len(x.view))))
    if sorted(order) != list(range(len(x.view))):
        raise Unsupported(f"perm {list(order)} does not order {len(x.view)} axes")
    return Flow(x.value, x.shape, tuple(x.view[place] for place in order), x.order)


def depth_to_space(call: NodeCall) -> Flow:
    """Read a DepthToSpace: a PixelShuffle, whose channels may have to be dealt out first."""
    x, block = call.image(call.flow()), call.attribute("blocksize", 0)
    n, c, h, w = x.dims
    if block < 1 or c % (block * block):
        raise Unsupported(f"{c} channels are no blocks of {block} x {block}")
    kept = c // (block * block)
    if call.attribute("mode", "DCR") == "DCR":
        split, order = (n, block, block, kept, h, w), (0, 3, 4, 1, 5, 2)
    else:
        split, order = (n, kept, block, block, h, w), (0, 1, 4, 2, 5, 3)
    view = reshaped(x.view, split)
    assert view is not None
    view = reshaped(tuple(view[place] for place in order), (n, kept, h * block, w * block))
    return call.image(_seen(x, view, "a depth to space"))


def _run(call: NodeCall, x: Flow, axis: int, start: int, stop: int) -> Flow:
    """Return the channels, or values of a vector, from `start` up to `stop`."""
    if len(x.view) == 2:
        x = call.vector(x)
    x = call.settled(x)
    if axis != call.channel_axis(x):
        raise Unsupported(f"parts along axis {axis} of {list(x.dims)} are not taken, only channels")
    if (start, stop) == (0, channels_of(x.shape)):
        return x
    if stop <= start:
        raise Unsupported("it takes nothing")
    order = None
    if x.order is not None:
        order = x.order[start:stop]
        start, stop = int(order.min()), int(order.max()) + 1
        if stop - start != len(order):
            raise Unsupported("it takes values that do not lie beside each other here")
        order = order - start
    result = call.add(Slice(start, stop), x)
    part = result.plain[1]
    return Flow(result.value, result.shape, (*x.view[:axis], part, *x.view[axis + 1 :]), order)


def split(call: NodeCall) -> Sequence[Value]:
    """Read a Split of channels."""
    x = call.flow()
    axis = call.axis(call.attribute("axis", 0), len(x.view))
    ends = np.cumsum([0, *call.split_sizes(x.dims[axis])]).tolist()
    names = call.node.outputs
    return [
        _run(call, x, axis, start, stop) if name else None
        for name, start, stop in zip(names, ends[:-1], ends[1:], strict=True)
    ]


def cut(call: NodeCall) -> Flow:
    """Read a Slice of channels."""
    x = call.flow()
    for axis, (start, stop, step) in enumerate(call.slices(x.dims)):
        side = x.dims[axis]
        if (start, stop, step) == (0, side, 1):
            continue
        if step != 1 or stop is None:
            raise Unsupported(f"a step of {step} is not read")
        x = _run(call, x, axis, start, stop)
    return x


def gather(call: NodeCall) -> Flow:
    """Read a Gather of channels that lie beside each other."""
    x, places = call.flow(), call.constant(1, "indices")
    axis = call.axis(call.attribute("axis", 0), len(x.view))
    row = places.reshape(-1).astype(np.int64) % max(1, x.dims[axis])
    if places.ndim != 1 or not len(row) or (np.diff(row) != 1).any():
        raise Unsupported("channels that lie beside each other are taken")
    return _run(call, x, axis, int(row[0]), int(row[-1]) + 1)


def pad(call: NodeCall) -> Flow:
    """Read a Pad with zeros around an image."""
    x = call.flow()
    mode = call.attribute("mode", "constant")
    pads = call.attribute("pads", None) if call.opset < 11 else call.integers(1)
    value = call.optional(2, "value") if call.opset >= 11 else np.float32(call.attribute("value", 0.0))
    if pads is None:
        raise Unsupported("its pads must be constants")
    axes = call.integers(3) if call.opset >= 18 else None
    places = [call.axis(axis, len(x.view)) for axis in axes or range(len(x.view))]
    if len(pads) != 2 * len(places):
        raise Unsupported(f"{len(pads)} pads do not fit {len(places)} axes")
    around = dict.fromkeys(range(len(x.view)), (0, 0))
    around |= {axis: (pads[place], pads[place + len(places)]) for place, axis in enumerate(places)}
    if all(sides == (0, 0) for sides in around.values()):
        return x
    if mode != "constant" or (value is not None and np.any(value)):
        raise Unsupported(f"padding with zeros is read, got {mode}{'' if mode != 'constant' else ' of other values'}")
    x = call.image(x)
    assert isinstance(x.shape, ImageShape)
    if around[0] != (0, 0) or around[1] != (0, 0) or min(map(min, around.values())) < 0:
        raise Unsupported("padding of rows and columns, from 0 pixels up, is read")
    return call.add(Pad((around[2], around[3])), x)


RULES = {
    "DepthToSpace": depth_to_space,
    "Flatten": flatten,
    "Gather": gather,
    "Pad": pad,
    "Reshape": reshape,
    "Slice": cut,
    "Split": split,
    "Squeeze": squeeze,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
