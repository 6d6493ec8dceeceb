"""A folder of class folders, the layout of torchvision, Keras, timm and Ultralytics.

    root/{train,val,test}/{class}/**/*.jpg    a split set apart by folders
    root/{class}/**/*.jpg                     no split

    train       also training
    validation  also val, valid, dev
    test        also testing, eval, evaluation

Split names are compared without regard to case. Classes are sorted by name; what begins with a dot is ignored; class
folders may hold further folders; symbolic links are followed; run folders (with a model.safetensors) are left out. A
folder whose name is one of the above is still a class when it holds images directly and stands beside other classes (a
"train" among vehicles).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from neocog.data.dataset import Dataset, Source
from neocog.data.decode import IMAGE_EXTENSIONS
from neocog.data.files import FileDataset
from neocog.errors import DataError

RUN_FILES = frozenset({"model.safetensors", "last.safetensors"})
"""Files that mark a folder as what a training left behind, and not as a class."""

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}
"""Folder name, or value in a table's split column, to the part that it means; in lower case."""

_SHOWN = 3  # names listed in a message before "and n more"


def is_image_folder(root: Path) -> bool:
    """Whether a folder below `root` holds an image; stops at the first one."""
    return any(next(_images(folder), None) is not None for folder in _folders(root))


def read_image_folder(root: str | Path) -> Source:
    """Read a folder of class folders.

    Arguments:
        root: the folder, see the top of this file.

    Returns:
        A Source with `train`, `validation` and `test` as far as there are folders for them, or `unsplit`. Every part
        knows the classes of all parts. Identifiers are paths relative to `root`, with forward slashes.

    Raises:
        DataError: no images, no class folders, or two folders for the same part.

    Example:
        source = read_image_folder("photos")
    """
    root = Path(root)
    parts = _split_folders(root)
    classes: dict[str, dict[str, list[str]]] = {}  # part -> class -> paths relative to root
    notes: list[str] = []
    ignored: list[str] = []
    runs: list[str] = []
    for part, folder in parts.items():
        classes[part] = {}
        for class_folder in _folders(folder):
            skipped: list[Path] = []
            inner_runs: list[Path] = []
            paths = [path.relative_to(root).as_posix() for path in _images(class_folder, skipped, inner_runs)]
            runs += [path.relative_to(root).as_posix() for path in inner_runs]
            if inner_runs and not paths:
                continue  # a folder of run folders is no class without images
            classes[part][class_folder.name] = sorted(paths)
            ignored += [path.relative_to(root).as_posix() for path in skipped]
        loose = sorted(path.name for path in folder.iterdir() if _is_image(path) and path.is_file())
        if loose:
            notes.append(f"{_listed(loose)} in {folder} ignored: images need to lie in a class folder")
    names = sorted({name for found in classes.values() for name, paths in found.items() if paths})
    empty = sorted({name for found in classes.values() for name in found} - set(names))
    if not names:
        raise _no_images(root, parts)
    for name in names:
        _check_name(root, name)
    if runs:
        notes.append(f"{_listed(sorted(runs))} ignored: a run folder with a trained model")
    if ignored:
        notes.append(f"{_listed(sorted(ignored))} ignored: no image file")
    if "unsplit" not in parts:
        beside = [f.name for f in _folders(root) if f not in parts.values() and next(_images(f), None) is not None]
        if beside:
            notes.append(f"{_listed(beside)} ignored: beside {', '.join(f.name for f in parts.values())}")
    datasets: dict[str, Dataset] = {}
    for part, found in classes.items():
        samples = [(path, label) for label, name in enumerate(names) for path in found.get(name, [])]
        if samples:
            datasets[part] = FileDataset(root, samples, names)
        else:
            notes.append(f"{parts[part].name} is empty and ignored")
    return Source(
        root.resolve().name,
        "image folder",
        train=datasets.get("train"),
        validation=datasets.get("validation"),
        test=datasets.get("test"),
        unsplit=datasets.get("unsplit"),
        notes=tuple(notes),
        empty_classes=tuple(empty),
    )


def split_folders(root: Path) -> dict[str, Path]:
    """Return part to folder for the folders of `root` that are named as parts.

    Raises:
        DataError: two folders mean the same part.
    """
    parts: dict[str, Path] = {}
    for folder in _folders(root):
        part = SPLIT_NAMES.get(folder.name.lower())
        if part in parts:
            raise DataError(
                f"{root}: {parts[part].name} and {folder.name} both mean the {part} part", hint="keep one of them"
            )
        if part is not None:
            parts[part] = folder
    return parts


def _split_folders(root: Path) -> dict[str, Path]:
    """Decide between the two layouts: part to folder, or {"unsplit": root}."""
    named = [folder for folder in _folders(root) if folder.name.lower() in SPLIT_NAMES]
    if not named:
        return {"unsplit": root}
    with_classes = [f for f in named if any(next(_images(inner), None) is not None for inner in _folders(f))]
    others = [f for f in _folders(root) if f not in named and next(_images(f), None) is not None]
    if others and not with_classes:
        return {"unsplit": root}
    return split_folders(root)


def _folders(root: Path) -> list[Path]:
    folders = (path for path in root.iterdir() if not path.name.startswith(".") and path.is_dir())
    return sorted(folders, key=lambda path: path.name)


def _images(folder: Path, skipped: list[Path] | None = None, runs: list[Path] | None = None) -> Iterator[Path]:
    """Yield the image files below a folder; other files go to `skipped`; run folders are left out, and go to `runs`."""
    seen = set()
    for current, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(current)
        if real in seen:  # a link that leads back up
            folders.clear()
            continue
        seen.add(real)
        if not RUN_FILES.isdisjoint(files):
            folders.clear()
            if runs is not None:
                runs.append(Path(current))
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.startswith("."):
                continue
            path = Path(current, name)
            if _is_image(path):
                yield path
            elif skipped is not None:
                skipped.append(path)


def _check_name(root: Path, name: str) -> None:
    # Model files hold class names as UTF-8; Linux allows any bytes in the name of a folder.
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(
            f"{root}: the class folder {os.fsencode(name)!r} has a name that is not UTF-8 text",
            hint="rename the folder",
        ) from None


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_EXTENSIONS and not path.name.startswith(".")


def _no_images(root: Path, parts: dict[str, Path]) -> DataError:
    loose = {part: folder for part, folder in parts.items() if any(_is_image(path) for path in folder.iterdir())}
    details = tuple(f"{folder} holds images, but no class folders" for folder in loose.values())
    return DataError(
        f"{root}: no class folder with images",
        details=details or (f"found {_listed(sorted(path.name for path in root.iterdir()))}",),
        hint="put images into one folder per class: root/class/image.jpg or root/train/class/image.jpg",
    )


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN]) or "nothing"
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
