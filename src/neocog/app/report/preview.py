"""What the augmentation showed the network: some images of the training part, epoch after epoch."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

from neocog.data.augment.pipeline import Pipeline
from neocog.data.augment.sheet import contact_sheet
from neocog.data.augment.words import NONE, parsed
from neocog.data.dataset import Dataset
from neocog.data.resize import ImageSize
from neocog.model.network import Network

MOST_SIDE = 1200  # pixels of the sheet's width
QUALITY = 80  # of JPEG


def augmentation(model: Network, train: Dataset, config: Mapping[str, Any]) -> dict[str, object] | None:
    """Return {"words": the transforms as `--augment` takes them, "source": data URI of a contact sheet, "width",
    "height": of it, pixels}; None where nothing was done to images.

    Arguments:
        model: that was trained.
        train: the images that it was trained on.
        config: what config.json says.

    Raises:
        NeocogError: the transforms are not known, or no image can be read.
    """
    words, seed = config.get("augment"), config.get("seed")
    if not isinstance(words, str) or words == NONE:
        return None
    pipeline = Pipeline(parsed(words), seed if isinstance(seed, int) else 0)
    sheet = contact_sheet(train, ImageSize(*model.input_shape), pipeline, resize=model.resize)
    sheet.thumbnail((MOST_SIDE, sheet.height))
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=QUALITY)
    source = f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
    return {"words": words, "source": source, "width": sheet.width, "height": sheet.height}
