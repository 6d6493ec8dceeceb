"""What other people's networks do to pictures."""

import json

import pytest

from neocog.data.resize import ResizeRule
from neocog.errors import FormatError, SettingError
from neocog.interop.preprocessing import NAMED, Preprocessing

CONFIG = {
    "architecture": "resnet18",
    "pretrained_cfg": {
        "input_size": [3, 224, 224],
        "interpolation": "bicubic",
        "crop_pct": 0.95,
        "crop_mode": "center",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    },
}


def changed(**entries: object) -> dict[str, object]:
    config = json.loads(json.dumps(CONFIG))
    config["pretrained_cfg"].update(entries)
    return config


def test_timms_configuration_is_read() -> None:
    found, size = Preprocessing.from_timm(CONFIG)
    assert size == (224, 224, 3)
    assert found.resize == ResizeRule("short", "bicubic", side=235)  # floor(224 / 0.95)
    assert (found.mean, found.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert Preprocessing.from_timm(CONFIG["pretrained_cfg"]) == (found, size)


@pytest.mark.parametrize(
    ("entries", "rule"),
    [
        ({"crop_pct": 0.875, "interpolation": "bilinear"}, "short=256"),
        ({"crop_pct": 1.0}, "short=224,bicubic"),
        ({"crop_pct": 1.0, "crop_mode": "squash"}, "stretch,bicubic"),
        ({"crop_pct": 0.9, "input_size": [3, 192, 256]}, "crop=0.9,bicubic"),
    ],
)
def test_rules_follow_from_timms_fields(entries: dict[str, object], rule: str) -> None:
    assert str(Preprocessing.from_timm(changed(**entries))[0].resize) == rule


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"input_size": [224, 224]}, "input_size must be three whole numbers"),
        ({"input_size": [3, 0, 224]}, "input_size must be three whole numbers"),
        ({"crop_pct": 0}, "crop_pct must be a number above 0"),
        ({"crop_pct": "0.9"}, "crop_pct must be a number above 0"),
        ({"interpolation": "lanczos"}, "interpolation must be one of bilinear, bicubic, got 'lanczos'"),
        ({"crop_mode": "border"}, "crop_mode must be center, or squash"),
        ({"mean": 0.5}, "mean must be a list of numbers"),
        ({"std": [True]}, "std must be a list of numbers"),
    ],
)
def test_configurations_that_cannot_be_followed_are_refused(entries: dict[str, object], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        Preprocessing.from_timm(changed(**entries))


def test_named_ones_follow_the_size_of_the_image() -> None:
    assert str(Preprocessing.named("torchvision", 224).resize) == "short=256"
    assert str(Preprocessing.named("torchvision", 112).resize) == "short=128"
    assert Preprocessing.named("lite", 112) == NAMED["lite"]
    with pytest.raises(SettingError, match="preprocessing must be one of plain, torchvision"):
        Preprocessing.named("keras", 224)
