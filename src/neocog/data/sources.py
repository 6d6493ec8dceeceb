"""One door to all kinds of data: what lies at a location is recognised, read, and split where it is not yet.

    "digits"                       the built-in handwritten digits, unless a file or folder has that name
    folder with IDX files          idx.py      (MNIST family)
    folder with CIFAR-10 batches   cifar.py
    folder with metadata.csv       table.py    (if it labels images; what says something else is noted; parts that no
                                                table labels are read by their class folders, if those are the same)
    folder of class folders        folder.py
    .npz                           npz.py
    .csv .tsv .jsonl               table.py
    .tar .parquet                  tar.py, parquet.py (a file, a pattern of names, a folder: shards.py)

Splits. Parts that the source sets apart stay as they are. A source without parts, or with nothing but a training
part, is split by content, class by class (split.py): 80 % training, 10 % validation, 10 % test; the digits 80 %
training, 20 % test. A source that has a test or a validation part gets a missing one only if its fraction is asked for;
it is carved out of the training part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from neocog.data.builtin import DIGITS, read_digits
from neocog.data.cifar import is_cifar_folder, read_cifar_folder
from neocog.data.dataset import Dataset, DataSplits, ReadProgress, Source, Subset
from neocog.data.files import FileDataset
from neocog.data.folder import is_image_folder, read_image_folder
from neocog.data.idx import is_idx_folder, read_idx_folder
from neocog.data.npz import read_npz
from neocog.data.sharded import is_shards, read_shards
from neocog.data.shards import is_pattern
from neocog.data.split import check_fractions, check_seed, kept_parts, split_by_content
from neocog.data.table import TABLE_EXTENSIONS, Metadata, find_metadata, read_metadata, read_table
from neocog.data.walk import Walk, listed
from neocog.errors import DataError
from neocog.reading import expanded

_FRACTIONS = (0.1, 0.1)  # validation and test, of a source without parts
_DIGITS_FRACTIONS = (0.0, 0.2)  # few images: all that is held out serves the final figure
_SHOWN = 8  # names of a folder listed in a message
_BESIDE = 50  # folders beside one that are looked into for a hint
_PACKED = (".zip", ".gz", ".tgz", ".tar", ".7z", ".xz", ".bz2", ".rar", ".zst")
_SHEETS = (".xlsx", ".xls", ".ods")

_UNDERSTOOD = (
    "supported are: a folder of class folders root/class/*.jpg or root/{train,val,test}/class/*.jpg;",
    "a folder with IDX files (MNIST), CIFAR-10 batches, or metadata.csv;",
    "a file .npz (x_train, y_train, ...), .csv, .tsv or .jsonl (path, label);",
    "shards .tar (WebDataset) or .parquet (Hugging Face): a file, a folder, or 'photos-{000..099}.tar';",
    'or the built-in "digits"',
)

_ARRAYS: tuple[tuple[Callable[[Path], object], Callable[[Path], Source]], ...] = (
    (is_idx_folder, read_idx_folder),
    (is_cifar_folder, read_cifar_folder),
)


def open_data(
    location: str | Path,
    *,
    validation_fraction: float | None = None,
    test_fraction: float | None = None,
    seed: int = 0,
    progress: ReadProgress | None = None,
) -> DataSplits:
    """Open labelled images, split for training.

    Arguments:
        location: a folder, a file, or "digits"; see the top of this file.
        validation_fraction, test_fraction: of the images, in [0, 1); used for parts that the source does not have.
            None takes the defaults at the top of this file; 0 makes no such part.
        seed: of the split.
        progress: called with (done, total) while files are read for their content, where a split needs that.

    Returns:
        The parts for training, all with the same class names.

    Raises:
        DataError: nothing there that is understood, or no training images.
        FormatError: a file is damaged, truncated or of another kind.
        SettingError: a fraction or the seed is out of its range.

    Example:
        >>> splits = open_data("digits")
        >>> len(splits.train) + len(splits.test), splits.class_names[:3]
        (1797, ('0', '1', '2'))
    """
    check_fractions(validation_fraction or 0.0, test_fraction or 0.0)
    check_seed(seed)
    return split_source(
        read_source(location),
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        seed=seed,
        progress=progress,
    )


def read_source(location: str | Path, progress: ReadProgress | None = None) -> Source:
    """Read what lies at a location, without splitting it; `evaluate` asks here for images that are all to be used.

    Arguments:
        location: as `open_data` takes it.
        progress: called with (done, total) while shards are indexed.

    Raises:
        DataError: nothing there that is understood.
        FormatError: a file is damaged, truncated or of another kind.
    """
    path = expanded(location)
    try:
        if is_pattern(path):  # first: it may be longer than a name may be
            return read_shards(path, progress)
        there = path.exists()
        if path.is_dir():
            return _read_folder(path, progress)
    except PermissionError as error:
        raise DataError(f"{error.filename}: the folder cannot be read: {error.strerror}") from error
    except OSError as error:  # such as a name of thousands of characters
        raise DataError(f"{path}: there is no such file or folder: {error.strerror}") from error
    if not there:
        if str(location) == DIGITS:
            return read_digits()
        if is_shards(path):
            return read_shards(path, progress)
        raise _not_there(path)
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return read_npz(path)
    if suffix in TABLE_EXTENSIONS:
        return read_table(path)
    if is_shards(path):
        return read_shards(path, progress)
    raise _not_understood(path)


def _read_folder(path: Path, progress: ReadProgress | None = None) -> Source:
    for is_kind, read in _ARRAYS:
        if is_kind(path):
            return read(path)
    metadata = find_metadata(path)
    if metadata.labelling:
        return _with_class_folders(path, metadata) if metadata.unlabelled else read_metadata(path)
    if not is_image_folder(path):
        if metadata.ignored:
            return read_metadata(path)  # which says what columns it needs
        if is_shards(path):
            return read_shards(path, progress)
        raise _not_understood(path)
    return _read_classes(path, metadata)


def _read_classes(path: Path, metadata: Metadata) -> Source:
    """Read class folders; metadata tables that label nothing are noted."""
    notes = metadata.notes(path)
    try:
        source = read_image_folder(path)
    except DataError as error:
        raise DataError(error.message, details=(*error.details, *notes), hint=error.hint) from None
    if len(_class_names(source)) < 2:
        if metadata.ignored:
            return read_metadata(path)  # which says what columns it needs: one folder tells nothing apart
        parent = _parent_meant(Walk(path))
        notes += [parent] if parent is not None else []
    return replace(source, notes=(*notes, *source.notes))


def _with_class_folders(path: Path, metadata: Metadata) -> Source:
    """Read parts of which tables label some: the others by their class folders, if those are of the same classes."""
    try:
        folders = read_image_folder(path, without=metadata.labelling)
    except DataError:
        if "train" in metadata.unlabelled and is_image_folder(metadata.unlabelled["train"]):
            raise
        return read_metadata(path)
    taken = [part for part in metadata.unlabelled if getattr(folders, part) is not None]
    tables = read_metadata(path, others=[metadata.unlabelled[part].name for part in taken])
    if taken and not set(_class_names(tables)).isdisjoint(_class_names(folders)):
        names = sorted({*_class_names(tables), *_class_names(folders)})
        told = f"class folders label {', '.join(taken)}; metadata tables label {', '.join(metadata.labelling)}"
        notes = tuple(dict.fromkeys([told, *tables.notes, *folders.notes]))
        return replace(
            tables,
            train=_part_of(tables, folders, "train", names),
            validation=_part_of(tables, folders, "validation", names),
            test=_part_of(tables, folders, "test", names),
            notes=notes,
            empty_classes=folders.empty_classes,
        )
    if "train" not in taken:
        return read_metadata(path)
    labels = listed(_class_names(tables))
    for table in metadata.labelling.values():  # it cannot serve a model that learns the classes of the folders
        metadata.ignored[table] = f"has labels ({labels}) that are no class folders of train, and is ignored"
    return _read_classes(path, metadata)


def _part_of(tables: Source, folders: Source, part: str, names: list[str]) -> Dataset | None:
    """Return a part as tables label it, or else class folders, with its labels as indices of other class names."""
    dataset = getattr(tables, part) or getattr(folders, part)
    if not isinstance(dataset, FileDataset):
        return None
    index = [names.index(name) for name in dataset.class_names]
    if not _several_labels(tables):
        single = [(path, index[label]) for path, label in dataset.samples if not isinstance(label, tuple)]
        return FileDataset(dataset.root, single, names)
    several = [(path, label if isinstance(label, tuple) else (label,)) for path, label in dataset.samples]
    renumbered = [(path, tuple(index[label] for label in labels)) for path, labels in several]
    return FileDataset(dataset.root, renumbered, names)


def _several_labels(source: Source) -> bool:
    parts = (source.unsplit, source.train, source.validation, source.test)
    return any(part is not None and part.several_labels for part in parts)


def _class_names(source: Source) -> tuple[str, ...]:
    parts = (source.unsplit, source.train, source.validation, source.test)
    return next((part.class_names for part in parts if part is not None), ())


def split_source(
    source: Source,
    *,
    validation_fraction: float | None = None,
    test_fraction: float | None = None,
    seed: int = 0,
    recorded: Mapping[str, str] | None = None,
    progress: ReadProgress | None = None,
) -> DataSplits:
    """Make the parts that a source does not have, by the rules at the top of this file.

    Arguments:
        recorded: name of an image → part, of a split before, which stays as it was; None: there was none.
        others, raises: as `open_data`.
    """
    whole = source.unsplit
    if whole is None and source.validation is None and source.test is None:
        whole = source.train
    parts = DataSplits(
        train=_train_of(source) if whole is None else whole,
        validation=source.validation,
        test=source.test,
        name=source.name,
        source=source.kind,
        notes=source.notes,
        empty_classes=source.empty_classes,
    )
    if whole is not None:
        defaults = _DIGITS_FRACTIONS if source.kind.startswith("built-in") else _FRACTIONS
        validation = defaults[0] if validation_fraction is None else validation_fraction
        test = defaults[1] if test_fraction is None else test_fraction
    else:
        # a part that is there stays as it is, whatever fraction was asked for
        validation = validation_fraction or 0.0 if source.validation is None else 0.0
        test = test_fraction or 0.0 if source.test is None else 0.0
    if validation == test == 0:
        return parts
    train = parts.train
    digests = train.digests(progress)
    indices = split_by_content(digests, train.labels, validation_fraction=validation, test_fraction=test, seed=seed)
    if recorded:
        indices = kept_parts(indices, digests, train.identifiers, recorded)
    if not len(indices.train):
        raise DataError(f"{source.name}: {len(train)} images are too few to split", hint="add images")
    taken = [f"{share:.0%} {part}" for part, share in (("validation", validation), ("test", test)) if share]
    return replace(
        parts,
        train=Subset(train, indices.train),
        validation=Subset(train, indices.validation) if len(indices.validation) else source.validation,
        test=Subset(train, indices.test) if len(indices.test) else source.test,
        source=f"{source.kind}; split by content: {', '.join(taken)}, seed {seed}",
    )


def _train_of(source: Source) -> Dataset:
    if source.train is None:
        have = [name for name in ("validation", "test") if getattr(source, name) is not None]
        raise DataError(
            f"{source.name}: training needs a train part, found only {' and '.join(have)}",
            hint="only evaluation works without one",
        )
    return source.train


def _not_there(path: Path) -> DataError:
    try:
        near = get_close_matches(path.name, [p.name for p in path.parent.iterdir()], 1)
    except (OSError, ValueError):
        near = []
    return DataError(
        f"{path}: there is no such file or folder",
        details=_UNDERSTOOD,
        hint=f"did you mean {path.parent / near[0]}?" if near else None,
    )


def _not_understood(path: Path) -> DataError:
    if not path.is_dir():
        ending = path.suffix.lower()
        what = "not a file or folder"
        if path.is_file():
            what = f"a file ({path.stat().st_size:,} bytes) in a format that is not supported for labelled images"
        return DataError(
            f"{path}: {what}",
            details=_UNDERSTOOD,
            hint="unpack it, and pass the folder"
            if ending in _PACKED
            else "save it as CSV UTF-8, with the columns path and label"
            if ending in _SHEETS
            else None,
        )
    walk = Walk(path)
    here = walk.entries()
    if here.closed is not None:
        return DataError(f"{path}: the folder cannot be read: {here.closed}")
    names = sorted([*(f"{name}/" for name in here.folders), *here.images, *here.others, *dict(here.pictures)])
    return DataError(
        f"{path}: no labelled images found here",
        details=(f"found {listed(names, _SHOWN)}", *_UNDERSTOOD),
        hint=_meant(walk),
    )


def _meant(walk: Walk) -> str | None:
    """Return a hint on what may be meant by a folder in which no labelled images were found."""
    here = walk.entries()
    path = walk.root
    files = [name for name in here.others if name.lower().endswith((".npz", *TABLE_EXTENSIONS))]
    if files:
        return f"did you mean {path / files[0]}?"
    deeper = [name for name in here.folders if _holds_arrays(walk, name) or find_metadata(path / name).labelling]
    if deeper:
        return f"did you mean {path / deeper[0]}?"
    if here.images:
        return _parent_meant(walk) or (
            "put images into one folder per class: root/class/image.jpg; or list them in a table (path, label)"
        )
    return None


def _parent_meant(walk: Walk) -> str | None:
    """Return a hint at the parent of a folder with loose images, if several folders in it have some."""
    root = walk.root if walk.root.name else walk.root.resolve()  # such as "."
    parent = root.parent
    if not walk.entries().images or parent == root:
        return None
    beside = Walk(parent)
    if sum(bool(beside.entries(name).images) for name in beside.folders()[:_BESIDE]) < 2:
        return None
    return f"did you mean {parent}? Its folders would be the classes"


def _holds_arrays(walk: Walk, folder: str) -> bool:
    found = walk.entries(folder)
    if any(name.lower().endswith(".npz") for name in found.others):
        return True
    return found.closed is None and any(is_kind(walk.path(folder)) for is_kind, _ in _ARRAYS)
