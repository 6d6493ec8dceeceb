"""Plans in bfloat16: what multiplies it, what is turned into it, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conformance_graphs import EACH, GRAPHS
from neocog.nn.blocks import Concat, Residual, Sequential
from neocog.nn.graph import trace
from neocog.nn.layers import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    GroupNorm,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    PReLU,
    ReLU,
    Sigmoid,
    Upsample,
)
from neocog.nn.losses import MeanSquaredError
from neocog.nn.optimizers import SGD
from neocog.nn.rewrite import fold_norms
from neocog.nn.shapes import ImageShape
from neocog.nn.zoo.names import MODELS
from neocog.plan import product
from neocog.plan.blocked import Blocked, blocked
from neocog.plan.describe import describe
from neocog.plan.layout import Halo, Tensor
from neocog.plan.live_ranges import always
from neocog.plan.memory import Allocation
from neocog.plan.ops.grouped import Gather, Spread, TransposeGroups
from neocog.plan.ops.halo import ClearHalo
from neocog.plan.ops.joined import Joined
from neocog.plan.ops.map import Map
from neocog.plan.ops.pack import PackTiles
from neocog.plan.ops.product import TileProduct
from neocog.plan.ops.stack import Stack
from neocog.plan.ops.tile_gradient import TileGradient
from neocog.plan.ops.windows import WindowBands
from neocog.plan.planner import plan_program
from neocog.plan.program import Training
from neocog.plan.verify import PlanError, verify
from neocog.target.named import NAMED


def _stages(net, shape, batch=8, target="AVX2"):
    program = plan_program(trace(net, shape), batch, NAMED[target], precision="bfloat16")
    return {stage.name: stage for stage in program.every_stage()}, program


@pytest.mark.parametrize("name", MODELS)
def test_every_known_network_has_a_plan_in_bfloat16(name):
    graph = fold_norms(MODELS[name].graph()).graph
    for batch, target in ((8, "AVX-512"), (1, "NEON")):
        stages = list(plan_program(graph, batch, NAMED[target], precision="bfloat16").every_stage())
        multiplied = sum(stage.multiply_adds for stage in stages if isinstance(stage, TileProduct))
        assert multiplied > 0.5 * sum(stage.multiply_adds for stage in stages)


def test_networks_of_every_form_have_a_plan_to_train_in_bfloat16():
    training = Training(MeanSquaredError(), SGD())
    known = {name: MODELS[name].graph() for name in ("resnet18", "mobilenet_v2", "googlenet")}
    for name, graph in (GRAPHS | EACH | known).items():
        program = plan_program(graph, 8, NAMED["AVX2"], training, precision="bfloat16")
        learns = [stage for stage in program.every_stage() if isinstance(stage, TileGradient)]
        multiplies = {stage.name.split()[0] for stage in program.every_stage() if isinstance(stage, TileProduct)}
        assert len(learns) == len(multiplies), name


def test_float32_plans_know_nothing_of_it():
    graph = trace(Sequential(Conv2d(8, 3), ReLU(), Flatten(), Linear(3)), (8, 8, 3))
    plain = plan_program(graph, 8, NAMED["AVX2"])
    assert describe(plain) == describe(plan_program(graph, 8, NAMED["AVX2"], precision="float32"))
    assert "bfloat16" not in describe(plain)
    assert "bfloat16 tiles" in describe(plan_program(graph, 8, NAMED["AVX2"], precision="bfloat16"))


def test_what_convolutions_hand_to_each_other_is_bfloat16_and_the_answer_is_not():
    stages, program = _stages(
        Sequential(
            Conv2d(8, 3, padding=1), ReLU(), MaxPool2d(2), Conv2d(8, 3), Sigmoid(), GlobalAvgPool2d(), Linear(3)
        ),
        (12, 12, 3),
    )
    first, last = stages["0:Conv2d+ReLU forward"], stages["3:Conv2d+Sigmoid forward"]
    assert isinstance(first.x, Blocked)
    assert first.x.channels == 9  # three pixels of three channels side by side
    assert isinstance(stages["0:Conv2d+ReLU stack rows"], Stack)
    assert isinstance(first.y, Blocked)
    assert last.x.name == first.y.name == "2:MaxPool2d in bfloat16"  # a pooling runs in its last lines
    assert not isinstance(last.y, Blocked)  # a mean takes it
    assert not any(isinstance(tensor, Blocked) for tensor in program.outputs.values())


def _images_of_float32(graph, training=None):
    program = plan_program(graph, 8, NAMED["AVX-512"], training, precision="bfloat16")
    images = [
        (stage.name, part)
        for stage in program.every_stage()
        for part in stage.writes()
        if isinstance(part, Tensor) and not isinstance(part, Blocked) and part.bytes_each == 4
    ]
    # What belongs to a pixel as a whole, such as its mean, is one number.
    return {name.split(":")[0] for name, image in images if image.height * image.width > 1 and image.channels > 1}


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("mobilenet_v2", {"features.18.0"}),
        ("resnet18", {"layer4.1.conv2"}),
        ("shufflenet_v2_x1_0", {"conv5.0"}),
        ("convnext_atto", {"stages.3.blocks.1.mlp.fc2", "stages.3.blocks.1.add"}),
        ("densenet121", {"relu"}),
    ],
)
def test_images_between_convolutions_stay_bfloat16_whatever_lies_between(name, last):
    """But for the caller's, and what only a mean takes. DenseNet's last join stays bfloat16, too: a convolution takes
    all of it but 32 channels.
    """
    assert _images_of_float32(fold_norms(MODELS[name].graph()).graph) == {"load images"} | last


@pytest.mark.parametrize(
    ("behind", "narrow"),
    [
        ((), False),
        ((ReLU(),), False),
        ((Upsample(2),), False),
        ((LocalResponseNorm(3),), False),
        ((ReLU(), MaxPool2d(2, 1)), False),
        ((GlobalAvgPool2d(),), True),
        ((BatchNorm2d(), ReLU(), AdaptiveAvgPool2d(1), Flatten(), Linear(3)), True),
    ],
    ids=str,
)
def test_a_join_is_bfloat16_where_only_means_are_taken_of_it(behind, narrow):
    """Not so where it is the answer, whose digits count, or where others would turn it into float32 again."""
    stages, _ = _stages(Sequential(Conv2d(40, 1), Concat(Sequential(), Conv2d(9, 1)), *behind), (6, 7, 3))
    (join,) = [stage for stage in stages.values() if isinstance(stage, Joined)]
    assert isinstance(join.y, Blocked) is narrow


def test_what_a_join_is_kept_as_is_asked_once_for_each_value():
    """Each residual doubles the ways to its end; asked anew along each, a network of 40 would never be planned."""
    body = Sequential(*[Residual(Sequential(Sigmoid()))] * 40)
    stages, _ = _stages(Sequential(Conv2d(8, 1), Concat(Sequential(), body), GlobalAvgPool2d(), Linear(3)), (6, 6, 3))
    (join,) = [stage for stage in stages.values() if isinstance(stage, Joined)]
    assert not isinstance(join.y, Blocked)  # no product takes any of it


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("mobilenet_v2", {"features.18.0", "features.18.1", "features.18.2"}),
        ("resnet18", {"layer4.1.conv2", "layer4.1.relu2"}),
        ("convnext_atto", {"stages.3.blocks.1.mlp.fc2", "stages.3.blocks.1.add"}),
        ("densenet121", {"features.norm5", "relu"}),
    ],
)
def test_so_they_do_in_training(name, others):
    training = Training(MeanSquaredError(), SGD())
    assert _images_of_float32(MODELS[name].graph(), training) == {"load images"} | others


def test_neither_groups_nor_slopes_make_images_float32():
    net = Sequential(
        *(Conv2d(40, 3, 2, 1, bias=False), GroupNorm(8), PReLU()),
        Residual(Sequential(Conv2d(40, 3, padding=1), GroupNorm(5), ReLU(), Conv2d(40, 1), GroupNorm(8))),
        *(ReLU(), Conv2d(8, 3), GlobalAvgPool2d(), Linear(4)),
    )
    graph = trace(net, (24, 24, 3))
    for training in (None, Training(MeanSquaredError(), SGD())):
        assert _images_of_float32(graph, training) == {"load images", "5"}


def test_gradients_of_groups_are_products_of_tiles():
    graph = trace(
        Sequential(
            *(Conv2d(64, 3), ReLU(), Conv2d(64, 3, padding=1, groups=16), ReLU(), Conv2d(96, 1, groups=2), ReLU()),
            *(Conv2d(96, 3, groups=96), Flatten(), Linear(3)),
        ),
        (12, 12, 3),
    )
    training = Training(MeanSquaredError(), SGD())
    stages = list(plan_program(graph, 8, NAMED["AVX-512"], training, precision="bfloat16").every_stage())
    learns = {stage.name[0]: stage for stage in stages if isinstance(stage, TileGradient)}
    assert {number: stage.groups for number, stage in learns.items()} == {"0": 1, "2": 16, "4": 2, "8": 1}
    # Of two planes a panel of filters sees the one with its own groups, or both where a group ends within a plane.
    assert [learns[number].planes_seen for number in "24"] == [1, 2]
    multiplied = [stage for stage in stages if isinstance(stage, TileProduct)]
    sends = {stage.name[0]: stage.groups for stage in multiplied if stage.name.endswith("input gradient")}
    assert sends == {"2": 16, "4": 2, "8": 1}
    assert not any(isinstance(stage, Spread | Gather) for stage in stages)
    with pytest.raises(PlanError, match="weights are not those of the layer"):
        verify([replace(learns["2"], groups=4)], {}, 16)
    with pytest.raises(PlanError, match="5 groups do not divide 64"):
        verify([replace(learns["2"], groups=5)], {}, 16)
    for kind in (TransposeGroups, PackTiles):
        found = next(stage for stage in stages if isinstance(stage, kind) and stage.groups > 1)
        with pytest.raises(PlanError, match="7 groups do not divide"):
            verify([replace(found, groups=7)], {}, 16)


def test_a_fully_connected_layer_sees_the_image_behind_a_flatten_as_it_lies():
    stages, program = _stages(Sequential(Conv2d(8, 3), ReLU(), Conv2d(40, 3), Flatten(), Linear(3)), (9, 8, 3))
    linear = stages["4:Linear forward"]
    assert (linear.walk, linear.taps, linear.x.channels) == ("images", (5, 4), 40)
    assert linear.x.name == stages["2:Conv2d forward"].y.name
    asked = plan_program(program.graph, 8, program.target, outputs=("logits",), precision="bfloat16")
    assert not [stage for stage in asked.every_stage() if isinstance(stage, Map)]


@pytest.mark.parametrize(
    ("layer", "walk"), [(Conv2d(8, 3, padding=1), "plane"), (Conv2d(8, 3, 2, 1), "rows"), (Conv2d(8, 1), "plane")]
)
def test_rows_of_tiles_are_positions_of_a_plane_where_these_follow_each_other(layer, walk):
    stages, _ = _stages(Sequential(Conv2d(8, 3), layer), (9, 8, 3))
    assert stages["1:Conv2d forward"].walk == walk


@pytest.mark.parametrize("layer", [Conv2d(8, 3, padding=1, groups=8), Conv2d(8, (7, 6))], ids=str)
def test_what_has_no_kernel_of_tiles_computes_with_float32(layer):
    stages, _ = _stages(Sequential(Conv2d(8, 3), layer, Flatten(), Linear(2)), (9, 8, 3))
    made = [stage for name, stage in stages.items() if name.startswith("1:") and stage.multiply_adds]
    assert made
    assert not any(isinstance(stage, TileProduct) for stage in made)


def _pooled(layer, shape, **settings):
    """Return the choice for a pooling behind a layer, and the layer's products without one."""
    stages, _ = _stages(Sequential(Conv2d(shape[-1], 1), layer), shape, **settings)
    plain = stages["1:Conv2d forward"]
    window = layer.window_over(ImageShape(*shape))
    return product.pooling_of(window, plain.x, layer.channels, layer.groups), plain


@pytest.mark.parametrize(
    ("layer", "width", "walk"),
    [
        (Conv2d(64, 3, padding=1), 48, "rows"),  # three tiles a row
        (Conv2d(64, 3, padding=1), 26, "plane"),
        (Conv2d(64, 3), 12, "plane"),
        (Conv2d(64, 3, 2, 1), 40, "rows"),  # what a stride leaves out lies between the positions of a plane
    ],
)
def test_windows_are_pooled_where_tiles_are_full(layer, width, walk):
    choice, plain = _pooled(layer, (16, width, 32))
    assert choice is not None
    assert choice[0] == walk
    made = replace(
        plain, walk=walk, band=choice[1], y=replace(plain.y, height=plain.y.height // 2, width=plain.y.width // 2)
    )
    assert made.blocks <= 1.1 * plain.blocks
    assert made.scratch()[made.sums.memory] <= 8192  # float32: 32 KiB


def test_a_pooling_is_a_pass_of_its_own_where_more_is_wasted_than_it_takes():
    assert _pooled(Conv2d(64, 3, padding=1), (20, 66, 32))[0] is not None
    assert _pooled(Conv2d(64, 3, padding=1), (20, 66, 128))[0] is None  # four times the products
    assert _pooled(Conv2d(64, 1), (20, 66, 128))[0] is not None  # but for these
    assert _pooled(Conv2d(64, 3), (3, 9, 32))[0] is None  # no window is whole


@pytest.mark.parametrize(
    ("layers", "pooling"),
    [
        ((ReLU(), MaxPool2d(2)), True),
        ((ReLU(), MaxPool2d(2, padding=1)), False),
        ((ReLU(), MaxPool2d(3, 2)), False),
        ((ReLU(), MaxPool2d((2, 1))), False),
        ((Sigmoid(), MaxPool2d(2)), False),  # its gradient asks for all that the convolution gave
    ],
    ids=str,
)
def test_while_training_a_pooling_joins_what_its_mask_can_tell_of(layers, pooling):
    net = Sequential(Conv2d(8, 3, padding=1), *layers, Conv2d(8, 1), Flatten(), Linear(3))
    training = Training(MeanSquaredError(), SGD())
    program = plan_program(trace(net, (12, 12, 3)), 8, NAMED["AVX2"], training, precision="bfloat16")
    (first, *_) = [stage for stage in program.every_stage() if isinstance(stage, TileProduct)]
    assert bool(first.band) is pooling
    assert (first.mask is not None) is pooling
    asked = plan_program(program.graph, 8, program.target, precision="bfloat16", outputs=("logits",))
    (first, *_) = [stage for stage in asked.every_stage() if isinstance(stage, TileProduct)]
    assert first.mask is None
    assert bool(first.band) is (layers[1] == MaxPool2d(2))


@pytest.mark.parametrize("line", [8, 27, 49])
@pytest.mark.parametrize("band", [1, 2, 5])
def test_each_window_lies_in_what_its_band_sums(band, line):
    width = line - 1 - line % 2
    bands = WindowBands(7, band, line, width)
    blocks, seen = 0, []
    for number in range(bands.count):
        rows = range(number * band, min(7, (number + 1) * band))
        first = 2 * rows[0] * line
        cells = [
            [(2 * row + down) * line + 2 * column + right for down in range(2) for right in range(2)]
            for row in rows
            for column in range(width // 2)
        ]
        need = max(map(max, cells)) - first + 1  # positions from the band's first one
        assert min(map(min, cells)) >= first
        assert need <= 32 * bands.held
        assert first + need <= bands.end
        blocks += -(-need // 32)
        seen += cells
    assert blocks == bands.blocks
    assert len(seen) == 7 * (width // 2)


def test_a_product_that_pools_what_does_not_lie_side_by_side_is_refused():
    stages, program = _stages(
        Sequential(Conv2d(8, 1), Conv2d(8, 3, padding=1), Sigmoid(), MaxPool2d(2), Conv2d(8, 1)), (16, 16, 3)
    )
    made = stages["1:Conv2d+Sigmoid forward"]
    assert (made.walk, made.band) == ("rows", 1)
    verify([made], program.allocations, 8)
    mask = Tensor("mask", made.y.images, 8, 8, 8, 8, bytes_each=1)
    for fault, message in (
        (replace(made, band=2), "2 rows of windows at once"),
        (replace(made, apart=(2, 2)), "do not lie side by side"),
        (replace(made, mask=mask), "and no other epilogue"),
        (replace(made, mask=replace(mask, height=7), epilogue=()), "are walked"),
    ):
        with pytest.raises(PlanError, match=message):
            verify([fault], program.allocations, 8)


def test_memory_of_planes_is_counted_with_what_is_read_behind_the_last_image():
    x = blocked("x", 2, ImageShape(4, 5, 40), Halo(1, 1, 1, 1))
    assert (x.line, x.planes, x.lead) == (6, 2, 7)
    assert x.plane_step == 32 * (7 + 4 * 6 + 6)
    assert x.size == 2 * x.image_step == 4 * x.plane_step
    stages, _ = _stages(Sequential(Conv2d(8, 3), Flatten(), Linear(2)), (5, 5, 3), batch=3)
    linear = stages["2:Linear forward"]
    assert linear.x.spare >= 13 * linear.x.image_step  # tiles have 16 rows, of which 3 are images


def test_an_op_that_takes_planes_for_pixels_is_refused():
    x = blocked("x", 1, ImageShape(4, 4, 32), Halo(1, 1, 1, 1))
    allocations = {x.memory: Allocation(0, 2 * x.size, always([]))}
    with pytest.raises(PlanError, match="'x' lies in planes, which it knows nothing of"):
        verify([ClearHalo("clear", x)], allocations, 8)
    plain = Tensor("x", 1, 4, 4, 32, 32, Halo(1, 1, 1, 1))
    verify([ClearHalo("clear", plain)], {plain.memory: Allocation(0, 4 * plain.size, always([]))}, 8)
