"""A contact sheet: what a network sees of some images, epoch after epoch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from neocog.data.augment.pipeline import Pipeline
from neocog.data.batches import Batches
from neocog.data.dataset import Dataset
from neocog.data.resize import DEFAULT_RESIZE, Images, ImageSize, ResizeRule
from neocog.errors import DataError
from neocog.text import printable

ROWS = 8  # images
EPOCHS = 7
LEAST_SIDE = 64  # pixels of the sheet for one image: smaller ones are shown several times as large
GAP = 4  # pixels
LINE = 18  # pixels of a line of text
_PAPER, _INK = (255, 255, 255), (40, 40, 40)


def contact_sheet(
    part: Dataset, size: ImageSize, augment: Pipeline, *, resize: ResizeRule = DEFAULT_RESIZE
) -> Image.Image:
    """Return a picture with a row for each of a few images: as it is read, then as the first epochs show it.

    They come out of `Batches`, as in training with the same seed; the pixels are those that the network gets, each as a
    square of 1, 2, ... pixels. Where images are mixed, each is mixed with that of the row below.

    Arguments:
        part: images to train on; of each class in turn one is shown, as far as they can be read.
        size: of the network's input.
        augment: what is done to them.
        resize: how they are brought to that size.

    Raises:
        DataError: none of them can be read.
    """
    chosen = _chosen(part, size, resize)
    if not len(chosen):
        raise DataError("there is no image that can be read, so there is nothing to show")
    shown = [Batches(part, len(chosen), size, chosen, resize)]
    if augment:
        batches = Batches(part, len(chosen), size, chosen, resize, seed=augment.seed, augment=augment)
        shown += [batches.at_epoch(epoch) for epoch in range(EPOCHS)]
    columns = [next(iter(batches))[0] for batches in shown]
    heads = ["as read", *(f"epoch {epoch + 1}" for epoch in range(len(columns) - 1))]
    names = [part.label_text(int(index)) for index in chosen]
    return _drawn(columns, heads, names, size)


def _chosen(part: Dataset, size: ImageSize, resize: ResizeRule) -> NDArray[np.int64]:
    """Return up to ROWS images that can be read, of each class in turn."""
    labels = part.labels.argmax(axis=1) if part.several_labels else part.labels
    order = np.lexsort((np.arange(len(labels)), _rank_within(labels)))
    chosen: list[int] = []
    for index in order:
        if len(chosen) == ROWS:
            break
        _, readable = part.read(np.array([index]), size, resize)
        chosen += [int(index)] if readable[0] else []
    return np.array(chosen, np.int64)


def _rank_within(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each image how many of its class come before it."""
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], labels[order])
    ranks = np.empty(len(labels), np.int64)
    ranks[order] = np.arange(len(labels)) - starts
    return ranks


def _drawn(columns: list[Images], heads: list[str], names: list[str], size: ImageSize) -> Image.Image:
    factor = max(1, -(-LEAST_SIDE // max(size.height, size.width)))
    height, width = size.height * factor, size.width * factor
    font = ImageFont.load_default(12)
    labels = [printable(name) for name in names]
    margin = GAP + max(int(font.getlength(label)) for label in labels) + GAP
    sheet = Image.new("RGB", (margin + len(columns) * (width + GAP), LINE + len(labels) * (height + GAP)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, (images, head) in enumerate(zip(columns, heads, strict=True)):
        left = margin + column * (width + GAP)
        draw.text((left, 2), head, _INK, font)
        for row, image in enumerate(images):
            sheet.paste(_picture(image).resize((width, height), Image.Resampling.NEAREST), (left, _top(row, height)))
    for row, label in enumerate(labels):
        draw.text((GAP, _top(row, height) + height // 2 - 8), label, _INK, font)
    return sheet


def _top(row: int, height: int) -> int:
    return LINE + row * (height + GAP)


def _picture(image: Images) -> Image.Image:
    """Return an image as people look at it: grey or in colours, of other channels the first three or one."""
    levels = image if image.dtype == np.uint8 else np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(levels[:, :, :3] if image.shape[2] >= 3 else levels[:, :, 0]))
