"""How an image is brought to the size that a network takes: the size, the rule, and the one function that does it.

By Pillow's filters, which widen when they shrink (antialias), for files and arrays alike, so that the same picture
gives the same pixels in training, in evaluation and in prediction.

    stretch   height and width are scaled on their own: all of the picture is seen, proportions may change (default)
    crop      the largest centred part with the wanted proportions, or of that a `part`: nothing is distorted
    pad       the whole picture with its proportions, centred on black: all is seen, some pixels carry nothing
    short     the shorter side becomes `side` pixels, and the centre is cut out, as torchvision and timm do it

`stretch` is the default: it loses nothing, is the default of Keras too, and equals `crop` and `pad` on square pictures.
The others are for networks from elsewhere, which answer best to pictures that come as those that they learnt from did.
As text a rule is its kind, with `part` or `side` behind "=", and the filter where it is not bilinear: `crop=0.875`,
`short=256,bicubic`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neocog.data.channels import array_to_channels, to_channels
from neocog.errors import SettingError

Images: TypeAlias = NDArray[np.uint8] | NDArray[np.float32]
ResizeKind = Literal["stretch", "crop", "pad", "short"]
Interpolation = Literal["bilinear", "bicubic"]

RESIZE_KINDS: tuple[ResizeKind, ...] = get_args(ResizeKind)
INTERPOLATIONS: tuple[Interpolation, ...] = get_args(Interpolation)
MOST_SIDE = 1 << 16
"""Pixels that `side` may be: as many as a network's input may have."""

MOST_RESIZED = 1 << 24
"""Pixels that `short` makes of a picture before it cuts the centre out."""

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
_LEAST_PART = 0.01
_ROUNDING = 1e-9  # 0.29 of 100 pixels are 29, though their product is less


@dataclass(frozen=True, slots=True)
class ResizeRule:
    """How an image is brought to the size that a network takes; see the top of this file.

    Arguments:
        kind: "stretch", "crop", "pad" or "short".
        interpolation: "bilinear" or "bicubic", as Pillow computes them.
        part: with "crop", how much of the centred part is taken, as a share of its height and width.
        side: with "short", what the shorter side becomes, in pixels, before the centre is cut out: 256 where
            torchvision says Resize(256). timm's crop_pct of p for s pixels is floor(s / p).

    Raises:
        SettingError: a field is out of its range, or not for this kind.

    >>> ResizeRule.parse("short=256,bicubic")
    ResizeRule(kind='short', interpolation='bicubic', part=1.0, side=256)
    >>> str(ResizeRule("crop", part=0.875)), str(ResizeRule())
    ('crop=0.875', 'stretch')
    """

    kind: ResizeKind = "stretch"
    interpolation: Interpolation = "bilinear"
    part: float = 1.0
    side: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in RESIZE_KINDS:
            raise SettingError(f"resize rule must be one of {', '.join(RESIZE_KINDS)}, got {self.kind!r}")
        if self.interpolation not in INTERPOLATIONS:
            raise SettingError(f"interpolation must be one of {', '.join(INTERPOLATIONS)}, got {self.interpolation!r}")
        number = isinstance(self.part, int | float) and not isinstance(self.part, bool)
        if not number or not _LEAST_PART <= self.part <= 1 or (self.part != 1 and self.kind != "crop"):
            raise SettingError(f"part must be a number from {_LEAST_PART} to 1, for crop alone, got {self.part!r}")
        if (self.side is None) == (self.kind == "short"):
            raise SettingError(
                f"side is what short, and only short, needs; got {self.kind} with side={self.side!r}",
                hint="write short=256",
            )
        if self.side is not None and (type(self.side) is not int or not 1 <= self.side <= MOST_SIDE):
            raise SettingError(f"side must be a whole number from 1 to {MOST_SIDE:,}, got {self.side!r}")

    @classmethod
    def parse(cls, text: str) -> ResizeRule:
        """Return the rule that a text names: `crop`, `crop=0.875`, `short=256,bicubic`.

        Raises:
            SettingError: there is no such rule.
        """
        first, comma, interpolation = text.partition(",")
        word, equals, number = first.partition("=")
        given: dict[str, Any] = {"kind": word.strip()}
        if comma:
            given["interpolation"] = interpolation.strip()
        try:
            if equals:
                given.update({"side": int(number)} if given["kind"] == "short" else {"part": float(number)})
        except ValueError:
            raise SettingError(
                f"resize rule {text!r} has no number behind '='", hint="examples: crop=0.875, short=256,bicubic"
            ) from None
        return cls(**given)

    def __str__(self) -> str:
        number = f"={self.part:g}" if self.part != 1 else "" if self.side is None else f"={self.side}"
        return f"{self.kind}{number}{'' if self.interpolation == 'bilinear' else f',{self.interpolation}'}"

    @property
    def keeps(self) -> bool:
        """Whether an image that has the size already stays as it is."""
        return self.part == 1 and self.side is None


DEFAULT_RESIZE = ResizeRule()


@dataclass(frozen=True, slots=True)
class ImageSize:
    """Height and width in pixels, and the number of channels (1 grey, 3 RGB, 4 RGBA).

    Raises:
        SettingError: one of them is not a whole number of at least 1.

    Example:
        >>> ImageSize(28, 28, 1).shape
        (28, 28, 1)
    """

    height: int
    width: int
    channels: int

    def __post_init__(self) -> None:
        for name, value in (("height", self.height), ("width", self.width), ("channels", self.channels)):
            # bool is an int in Python, and True pixels are a slip of the caller
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise SettingError(f"image size: {name} needs a whole number of at least 1, got {value!r}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return (self.height, self.width, self.channels)

    @property
    def values(self) -> int:
        """Numbers in one image: height x width x channels."""
        return self.height * self.width * self.channels

    def __str__(self) -> str:
        return f"{self.height} x {self.width} x {self.channels}"


def check_rule(rule: ResizeRule | str) -> ResizeRule:
    """Return a rule, which may be given as text.

    Raises:
        SettingError: there is no such rule.
    """
    if isinstance(rule, ResizeRule):
        return rule
    return ResizeRule.parse(rule) if isinstance(rule, str) else ResizeRule(rule)  # which says what it may be


def resize_image(image: Image.Image, height: int, width: int, rule: ResizeRule | str = DEFAULT_RESIZE) -> Image.Image:
    """Bring a Pillow image to `height` x `width` pixels; its mode stays.

    Arguments:
        image: in mode L, RGB, RGBA or F (modes that can be interpolated).
        height, width: pixels wanted.
        rule: see the top of this file.

    Returns:
        The image itself where the rule leaves it as it is, else a new one.

    Raises:
        SettingError: the rule is not known.
    """
    rule = check_rule(rule)
    if image.size == (width, height) and rule.keeps:
        return image
    kernel = _FILTERS[rule.interpolation]
    if rule.kind == "crop":
        return image.crop(_centred_box(image, height, width, rule.part)).resize((width, height), kernel)
    if rule.kind == "pad":
        scale = min(height / image.height, width / image.width)
        inner = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        canvas = Image.new(image.mode, (width, height), 0)
        canvas.paste(image.resize(inner, kernel), ((width - inner[0]) // 2, (height - inner[1]) // 2))
        return canvas
    if rule.side is not None:
        return _short(image, height, width, rule.side, kernel)
    return image.resize((width, height), kernel)


def resize_array(image: Images, size: ImageSize, rule: ResizeRule | str = DEFAULT_RESIZE) -> Images:
    """Bring one array image to `size`, through the same Pillow code as a file.

    Arguments:
        image: (height, width, channels), uint8, or float32.
        size: the size and channels wanted; grey, RGB and RGBA are converted as in `channels.to_channels`.
        rule: see the top of this file.

    Returns:
        (size.height, size.width, size.channels) of the same dtype. Float images are never rounded to 8 bits; where
        bicubic interpolation leaves [0, 1], they are cut to it, as those of bytes are to 0 to 255.

    Raises:
        DataError: the channels cannot be converted, such as 5 into 3.
        SettingError: the rule is not known.

    Example:
        >>> resize_array(np.zeros((8, 8, 1), np.uint8), ImageSize(16, 16, 3)).shape
        (16, 16, 3)
    """
    rule = check_rule(rule)
    if image.shape == size.shape and rule.keeps:
        return image
    if image.dtype == np.uint8 and image.shape[2] in (1, 3, 4) and size.channels in (1, 3, 4):
        picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
        return image_to_array(resize_image(to_channels(picture, size.channels), size.height, size.width, rule))
    planes = array_to_channels(image, size.channels)
    resized = [
        np.asarray(resize_image(Image.fromarray(np.ascontiguousarray(planes[:, :, c])), size.height, size.width, rule))
        for c in range(size.channels)
    ]
    stacked = cast(Images, np.stack(resized, axis=2))
    return stacked.clip(0, 1) if rule.interpolation == "bicubic" and stacked.dtype != np.uint8 else stacked


def image_to_array(image: Image.Image) -> NDArray[np.uint8]:
    """Return the pixels of an 8-bit Pillow image as (height, width, channels) uint8."""
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _centred_box(image: Image.Image, height: int, width: int, part: float) -> tuple[int, int, int, int]:
    """Return left, upper, right, lower of a centred part of `image` with the proportions wanted: of the largest one, a
    share of `part`.

    In whole pixels, rounded down, since that is how networks from elsewhere had their pictures cut: half a pixel
    changes probabilities by a hundredth.
    """
    across, down = image.width, image.height
    if across * height > down * width:
        across = down * width // height
    else:
        down = across * height // width
    across, down = (max(1, int(side * part + _ROUNDING)) for side in (across, down))
    left, upper = (image.width - across) // 2, (image.height - down) // 2
    return left, upper, left + across, upper + down


def _short(image: Image.Image, height: int, width: int, side: int, kernel: Image.Resampling) -> Image.Image:
    """Return the centre of `image` with its shorter side at `side` pixels; black where that does not reach.

    Sizes and places are rounded as torchvision's Resize and CenterCrop do, and all is resized before it is cut, so that
    the pixels are the same. But a strip so long that this would take more than MOST_RESIZED pixels is cut first.
    """
    longer = int(side * max(image.size) / min(image.size))
    inner = (longer, side) if image.width > image.height else (side, longer)
    left, upper = _offset(inner[0], width), _offset(inner[1], height)
    if longer * side > MOST_RESIZED:
        across, down = image.width / inner[0], image.height / inner[1]
        columns, rows = min(inner[0], width), min(inner[1], height)
        x, y = max(left, 0) * across, max(upper, 0) * down
        box = (x, y, min(x + columns * across, image.width), min(y + rows * down, image.height))
        image, left, upper = image.resize((columns, rows), kernel, box=box), min(left, 0), min(upper, 0)
    elif inner != image.size:
        image = image.resize(inner, kernel)
    return image if image.size == (width, height) else image.crop((left, upper, left + width, upper + height))


def _offset(have: int, want: int) -> int:
    """Return where a cut of `want` pixels out of `have` begins; below 0 where there are fewer."""
    return round((have - want) / 2) if have >= want else -((want - have) // 2)
