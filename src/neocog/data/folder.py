"""A folder of class folders, the layout of torchvision, Keras, timm and Ultralytics.

    root/{train,val,test}/{class}/**/*.jpg    a split set apart by folders
    root/{class}/**/*.jpg                     no split

`walk.py` says which files are images, `parts.py` which names mean parts, `layout.py` which of the two layouts it is,
and refuses what is one folder too deep. Classes are sorted by name; class folders may hold further folders. A folder
that cannot be read is an error: a class, or half of one, would be missing unseen.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from neocog.data.dataset import Dataset, Source
from neocog.data.files import FileDataset
from neocog.data.layout import find_layout
from neocog.data.parts import SPLIT_NAMES as SPLIT_NAMES
from neocog.data.walk import RUN_FILES, LeftOut, Walk, listed
from neocog.errors import DataError
from neocog.text import printable

__all__ = ["RUN_FILES", "SPLIT_NAMES", "is_image_folder", "read_image_folder"]

_CLOSED_SHOWN = 5  # folders that cannot be read, named one by one


def is_image_folder(root: Path) -> bool:
    """Whether a folder below `root` holds an image, or something that may be one; stops at the first."""
    walk = Walk(root)
    return any(
        found.images or found.pictures or found.closed is not None
        for folder in walk.folders()
        for current, found in walk.below(folder)
        if not found.is_run
    )


def read_image_folder(root: str | Path, *, without: Collection[str] = ()) -> Source:
    """Read a folder of class folders.

    Arguments:
        root: the folder, see the top of this file.
        without: parts to leave out, which something else labels.

    Returns:
        A Source with `train`, `validation` and `test` as far as there are folders for them, or `unsplit`. Every part
        knows the classes of all parts. Identifiers are paths relative to `root`, with forward slashes.

    Raises:
        DataError: no images, no class folders, two folders for the same part, a folder that cannot be read, or
            folders that are one too deep; the hint then names the folder that seems to be meant.

    Example:
        source = read_image_folder("photos")
    """
    root = Path(root)
    walk = Walk(root)
    layout = find_layout(walk)
    left_out = LeftOut()
    notes: list[str] = []
    parts = {part: folder for part, folder in layout.parts.items() if part not in without}
    classes = {part: _classes(walk, folder, left_out, notes) for part, folder in parts.items()}
    if left_out.closed:
        raise _closed(root, left_out.closed)
    names = sorted({name for found in classes.values() for name, paths in found.items() if paths})
    empty = sorted({name for found in classes.values() for name in found} - set(names))
    if not names:
        raise _no_images(walk, parts, left_out)
    for name in names:
        _check_name(root, name)
    notes = [*layout.notes, *notes, *left_out.notes()]
    if "unsplit" not in layout.parts:
        tops = {folder.partition("/")[0] for folder in layout.parts.values()}
        beside = [folder for folder in walk.folders() if folder not in tops and _may_hold_images(walk, folder)]
        if beside:
            notes.append(f"{listed(beside)} ignored: outside {', '.join(sorted(tops))}")
    datasets: dict[str, Dataset] = {}
    for part, found in classes.items():
        samples = [(path, label) for label, name in enumerate(names) for path in found.get(name, [])]
        if samples:
            datasets[part] = FileDataset(root, samples, names)
        else:
            notes.append(_without_images(walk, parts[part]))
    return Source(
        root.resolve().name,
        "image folder",
        train=datasets.get("train"),
        validation=datasets.get("validation"),
        test=datasets.get("test"),
        unsplit=datasets.get("unsplit"),
        notes=tuple(map(printable, notes)),
        empty_classes=tuple(empty),
    )


def _classes(walk: Walk, level: str, left_out: LeftOut, notes: list[str]) -> dict[str, list[str]]:
    """Return class name to paths of images for the class folders in one folder."""
    classes: dict[str, list[str]] = {}
    for folder in walk.folders(level):
        runs = len(left_out.runs)
        paths = walk.images(folder, left_out)
        if paths or len(left_out.runs) == runs:  # a folder of run folders is no class without images
            classes[folder.rpartition("/")[2]] = paths
    here = walk.entries(level)
    if here.images:
        notes.append(f"{listed(here.images)} in {walk.path(level)} ignored: images must be in a class folder")
    left_out.add(level, here._replace(others=()))  # a README beside the classes is nobody's loss
    return classes


def _without_images(walk: Walk, level: str) -> str:
    """Return a note on a part none of whose class folders has images."""
    here = walk.entries(level)
    if here.images:
        return f"{level} has no class folders and is ignored"
    return f"{level} {'has no images' if any(here[:-1]) else 'is empty'} and is ignored"


def _may_hold_images(walk: Walk, folder: str) -> bool:
    return walk.holds_images(folder) or walk.entries(folder).closed is not None


def _check_name(root: Path, name: str) -> None:
    # Model files hold class names as UTF-8; Linux allows any bytes in the name of a folder.
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(
            f"{root}: the class folder {os.fsencode(name)!r} has a name that is not UTF-8 text",
            hint="rename the folder",
        ) from None


def _closed(root: Path, closed: list[tuple[str, str]]) -> DataError:
    count = "1 folder" if len(closed) == 1 else f"{len(closed):,} folders"
    more = (f"and {len(closed) - _CLOSED_SHOWN:,} more",) if len(closed) > _CLOSED_SHOWN else ()
    return DataError(
        f"{root}: {count} cannot be read",
        details=(*(f"{root / folder}: {reason}" for folder, reason in sorted(closed)[:_CLOSED_SHOWN]), *more),
        hint=f"make it readable with: chmod -R u+rX {root}; or move what is not needed elsewhere",
    )


def _no_images(walk: Walk, parts: dict[str, str], left_out: LeftOut) -> DataError:
    loose = [walk.path(folder) for folder in parts.values() if walk.entries(folder).images]
    details = [f"{folder} contains images, but no class folders" for folder in loose]
    details += [note for note in left_out.notes() if left_out.pictures or left_out.unreadable]
    here = walk.entries()
    return DataError(
        f"{walk.root}: no class folder with images",
        details=tuple(details) or (f"found {listed(sorted([*here.folders, *here.others]))}",),
        hint="put images into one folder per class: root/class/image.jpg or root/train/class/image.jpg",
    )
