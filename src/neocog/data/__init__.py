"""Labelled images: where they come from, how they are split, decoded and served in batches.

sources → split → batches          open_data() recognises a location, Batches serves it
channels → resize → decode         the one way from a file to pixels

Everything here is loaded when it is first used: who decodes one image need not load what reads data sets.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neocog.data.arrays import ArrayDataset as ArrayDataset
    from neocog.data.batches import Batches as Batches
    from neocog.data.check import Finding as Finding
    from neocog.data.check import Report as Report
    from neocog.data.check import check_data as check_data
    from neocog.data.dataset import Dataset as Dataset
    from neocog.data.dataset import DataSplits as DataSplits
    from neocog.data.dataset import ImageFacts as ImageFacts
    from neocog.data.dataset import Source as Source
    from neocog.data.dataset import Subset as Subset
    from neocog.data.decode import decode_image as decode_image
    from neocog.data.decode import fit_image as fit_image
    from neocog.data.decode import read_image as read_image
    from neocog.data.endings import IMAGE_EXTENSIONS as IMAGE_EXTENSIONS
    from neocog.data.files import FileDataset as FileDataset
    from neocog.data.resize import DEFAULT_RESIZE as DEFAULT_RESIZE
    from neocog.data.resize import INTERPOLATIONS as INTERPOLATIONS
    from neocog.data.resize import RESIZE_KINDS as RESIZE_KINDS
    from neocog.data.resize import Images as Images
    from neocog.data.resize import ImageSize as ImageSize
    from neocog.data.resize import ResizeRule as ResizeRule
    from neocog.data.resize import resize_array as resize_array
    from neocog.data.sources import open_data as open_data
    from neocog.data.sources import read_source as read_source
    from neocog.data.sources import split_source as split_source
    from neocog.data.split import SplitIndices as SplitIndices
    from neocog.data.split import split_by_content as split_by_content

_HOMES = {
    "neocog.data.arrays": ("ArrayDataset",),
    "neocog.data.batches": ("Batches",),
    "neocog.data.check": (
        "Finding",
        "Report",
        "check_data",
    ),
    "neocog.data.dataset": (
        "Dataset",
        "DataSplits",
        "ImageFacts",
        "Source",
        "Subset",
    ),
    "neocog.data.decode": (
        "decode_image",
        "fit_image",
        "read_image",
    ),
    "neocog.data.endings": ("IMAGE_EXTENSIONS",),
    "neocog.data.files": ("FileDataset",),
    "neocog.data.resize": (
        "DEFAULT_RESIZE",
        "INTERPOLATIONS",
        "RESIZE_KINDS",
        "Images",
        "ImageSize",
        "ResizeRule",
        "resize_array",
    ),
    "neocog.data.sources": (
        "open_data",
        "read_source",
        "split_source",
    ),
    "neocog.data.split": (
        "SplitIndices",
        "split_by_content",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME_OF[name]), name)  # the next use does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
