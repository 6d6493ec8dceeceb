"""How folders of images are meant: where the parts are, where the class folders, and whether it is one folder too deep.

    root/{train,val,test}/{class}    a split set apart by folders, by the names of parts.py
    root/{class}                     no split

A folder named as a part is still a class when it holds images directly and stands beside other classes (a "train"
among vehicles). Names such as seg_train and seg_test are parts where both are there, with classes in common. A part
whose only folder has the part's own name (seg_train/seg_train) is taken one folder down, and a note says so.

Archives often unpack to folders inside folders, and then what is taken for classes are parts, years or whole data sets.
A training on those would succeed and mean nothing. So whatever looks like it is refused, with the folder that seems to
be meant; nothing is guessed. Where class folders hold subfolders of the same names, as healthy/{left,right} and
sick/{left,right} do, only the outer names can tell: years, folds, people and their like (`_is_group`) are refused. All
others are taken as classes, and a note names the other reading.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from neocog.data.parts import EMPTY_WORDS, SPLIT_NAMES, part_name, words
from neocog.data.walk import Walk, listed
from neocog.errors import DataError

METADATA_NAMES = ("metadata.csv", "metadata.jsonl")
"""Tables that label the images of the folder that they lie in."""

_SIDE_WORDS = frozenset(  # in names of what lies beside a data set, and is no class
    {"example", "examples", "sample", "samples", "preview", "previews", "demo", "demos", "doc", "docs", "readme"}
    | {"figure", "figures", "screenshot", "screenshots", "asset", "assets", "static", "media"}
    | {"result", "results", "output", "outputs"}
)
_CONTAINERS = EMPTY_WORDS | {"raw", "original", "all", "full", "main", "classes"}

# What images are gathered by, not what they show.
_DATE = re.compile(r"(19|20)\d\d([-_. ]?\d\d){0,2}")
_MONTHS = frozenset(
    {"january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november"}
    | {"december", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec"}
)
_VERSIONS = frozenset(  # of the same images: PlantVillage comes as color, grayscale and segmented
    {"color", "colour", "rgb", "gray", "grey", "grayscale", "greyscale", "segmented", "augmented", "cropped", "resized"}
    | {"processed", "preprocessed"}
)
_COUNTED = frozenset(  # with a number or a letter: fold_1, user2, session A
    {"batch", "part", "fold", "session", "set", "group", "run", "round", "series", "sequence", "chunk", "shard", "disk"}
    | {"day", "week", "month", "year", "quarter", "volume", "vol", "version", "v", "archive", "camera", "cam", "site"}
    | {"user", "subject", "person", "patient", "participant", "volunteer", "signer", "writer", "annotator", "student"}
)


class Layout(NamedTuple):
    """Where class folders lie.

    Arguments:
        parts: part, or "unsplit", to the folder that holds its class folders, relative to the root.
        notes: what a user should know about it.
    """

    parts: dict[str, str]
    notes: tuple[str, ...] = ()


def find_layout(walk: Walk) -> Layout:
    """Decide what the folders below the root of a walk mean.

    Raises:
        DataError: two folders for the same part, or what look like classes are parts, years or data sets.
    """
    named = find_parts(walk)
    if not named:
        return Layout({"unsplit": ""}, tuple(_look_deeper(walk, "", whole=True)))
    parts = {part: _class_level(walk, folder) for part, folder in named.items()}
    if "train" not in parts:
        beside = [folder for folder in holding(walk) if folder not in named.values()]
        _refuse_data_sets(_Level(walk, "", beside, {folder: _core(walk, folder) for folder in beside}, {}))
    notes = []
    if any(_name(folder).lower() not in SPLIT_NAMES or folder != named[part] for part, folder in parts.items()):
        taken = [f"{part} is {parts[part]}" for part in ("train", "validation", "test") if part in parts]
        notes.append(f"taken as parts: {', '.join(taken)}")
    classes = {_name(folder) for level in parts.values() for folder in holding(walk, level)}
    level = parts.get("train") or next(iter(parts.values()))
    notes += _look_deeper(walk, level, whole=len(classes) == 1)
    return Layout(parts, tuple(notes))


def find_parts(walk: Walk, root: str = "") -> dict[str, str]:
    """Return part to folder for the folders directly in `root` that mean parts; empty where there is no split.

    Raises:
        DataError: two folders mean the same part.
    """
    folders = walk.folders(root)
    exact = [folder for folder in folders if _name(folder).lower() in SPLIT_NAMES]
    others = [folder for folder in holding(walk, root) if folder not in exact]
    alike = {folder: name for folder in others if (name := part_name(_name(folder))) and _has_classes(walk, folder)}
    if exact and (not others or any(holding(walk, folder) for folder in exact)):
        parts = named_parts(walk, exact)
        clear = [folder for folder, name in alike.items() if not name.rest and name.part not in parts]
        return {**parts, **named_parts(walk, clear)}
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for folder, name in alike.items():
        groups[name.rest].append(folder)
    found = [members for rest, members in groups.items() if _are_parts(walk, rest, members, len(others))]
    return named_parts(walk, found[0]) if len(found) == 1 else {}


def named_parts(walk: Walk, folders: list[str]) -> dict[str, str]:
    """Return part to folder for folders that all mean parts.

    Raises:
        DataError: two folders mean the same part.
    """
    parts: dict[str, str] = {}
    for folder in folders:
        name = part_name(_name(folder))
        if name is None:
            continue
        if name.part in parts:
            raise DataError(
                f"{walk.root}: {_name(parts[name.part])} and {_name(folder)} both mean the {name.part} part",
                hint="keep one of them",
            )
        parts[name.part] = folder
    return parts


def holding(walk: Walk, folder: str = "") -> list[str]:
    """Return the folders directly in a folder that hold an image, at any depth."""
    return [inner for inner in walk.folders(folder) if walk.holds_images(inner)]


def _are_parts(walk: Walk, rest: tuple[str, ...], members: list[str], folders: int) -> bool:
    """Whether folders that are named like parts, all with the same other words, are parts."""
    kinds = {name.part for folder in members if (name := part_name(_name(folder)))}
    if not rest:  # as clear as "train": alone in the folder, or one of several parts
        return len(kinds) > 1 or len(members) == folders
    if "train" not in kinds or len(kinds) < 2:
        return False
    classes = [{_name(inner) for inner in holding(walk, _class_level(walk, folder))} for folder in members]
    return bool(set.intersection(*classes))


def _class_level(walk: Walk, part: str) -> str:
    """Return the folder of a part that holds its class folders: itself, or seg_train/seg_train."""
    inner = holding(walk, part)
    doubled = len(inner) == 1 and _name(inner[0]).lower() == _name(part).lower()
    return inner[0] if doubled and not walk.entries(part).images and _has_classes(walk, inner[0]) else part


def _has_classes(walk: Walk, folder: str) -> bool:
    return not walk.entries(folder).images and bool(holding(walk, folder))


# -- one folder too deep -----------------------------------------------------------------------------------------------


class _Level(NamedTuple):
    """The class folders of one folder, and what lies in them."""

    walk: Walk
    folder: str
    tops: list[str]  # the class folders, as they would be taken
    cores: dict[str, str]  # the same, gone down through folders that hold nothing but one folder
    inner: dict[str, list[str]]  # folders with images in a core that holds no images itself

    @property
    def nested(self) -> list[str]:
        """Return the class folders that hold several folders of images."""
        return [top for top in self.tops if len(self.inner[top]) > 1]

    @property
    def flat(self) -> list[str]:
        """Return the others."""
        return [top for top in self.tops if len(self.inner[top]) < 2]

    @property
    def below(self) -> str:
        """Return some names of folders inside of class folders."""
        return _named(sorted({_name(folder) for top in self.nested for folder in self.inner[top]}))

    def refusal(self, message: str, tops: list[str], otherwise: str = "") -> DataError:
        """Return an error whose hint names the folders that seem to be meant."""
        places = [str(self.walk.path(self.cores[top])) for top in tops]
        if self.folder:  # inside of a part: no other folder holds the whole
            hint = f"put the class folders, such as those in {places[0]}, directly into {self.walk.path(self.folder)}"
        else:
            hint = f"did you mean {', or '.join(places[:3])}?{otherwise and ' ' + otherwise}"
        return DataError(f"{self.walk.path(self.folder)}: {message}", hint=hint)


def _look_deeper(walk: Walk, folder: str, *, whole: bool) -> list[str]:
    """Return notes on what lies below the class folders in `folder`; refuse what cannot be meant.

    Arguments:
        whole: whether these are all the class folders that there are.
    """
    tops = holding(walk, folder)
    cores = {top: _core(walk, top) for top in tops}
    inner = {top: [] if walk.entries(core).images else holding(walk, core) for top, core in cores.items()}
    level = _Level(walk, folder, tops, cores, inner)
    if whole:
        _refuse_data_sets(level)
        _refuse_single(level)
    _refuse_part_names(level)
    _refuse_mixture(level)
    return _shared_folders(level) if level.nested else []


def _refuse_data_sets(level: _Level) -> None:
    """Refuse folders of which one is a data set with parts of its own."""
    for top in level.tops:
        try:
            parts = find_parts(level.walk, level.cores[top])
        except DataError:  # two folders for one part: whatever it is, it is not what is meant
            continue
        if "train" in parts and any(_has_classes(level.walk, part) for part in parts.values()):
            raise level.refusal(f"the parts {_named(parts.values())} are deeper, in {level.cores[top]}", [top])


def _refuse_single(level: _Level) -> None:
    """Refuse an only class that holds folders of images, or a table of its own."""
    if len(level.tops) != 1:
        return
    top = level.tops[0]
    core, inner = level.cores[top], level.inner[top]
    if not level.folder and not set(METADATA_NAMES).isdisjoint(level.walk.entries(core).others):
        raise level.refusal(f"only one class folder, {core}, and it contains a table of labels", [top])
    if len(inner) > 1 and not all(_name(folder).lower() in SPLIT_NAMES for folder in inner):
        raise level.refusal(
            f"only one class folder, {core}, and it contains subfolders of images ({level.below})", [top]
        )


def _refuse_part_names(level: _Level) -> None:
    """Refuse classes that are named like parts, but were not taken as parts."""
    named = [top for top in level.nested if part_name(_name(top))]
    if named and not level.folder:
        raise level.refusal(
            f"{_named(named)}: named like parts, but {_named(level.tops)} are not the parts of one data set",
            named,
            "Or call the folders train, val and test, with the same class folders in each",
        )


def _refuse_mixture(level: _Level) -> None:
    """Refuse a data set's folder beside others that are none, such as Dataset/{0,1,2} and Examples."""
    if len(level.nested) != 1 or not level.flat:
        return
    name = _name(level.nested[0])
    container = _CONTAINERS.issuperset(words(name)) or name == level.walk.root.resolve().name
    if container or _only_aside(level.flat):
        lacking = f"{_named(level.flat)} {'does' if len(level.flat) == 1 else 'do'} not"
        message = f"{name} contains subfolders of images ({level.below}), {lacking}"
        raise level.refusal(message, level.nested, "Or put all images into one folder per class")


def _shared_folders(level: _Level) -> list[str]:
    """Return a note on the subfolders of class folders; refuse them if they look like the classes."""
    nested = level.nested
    shared = _shared(level) if _only_aside(level.flat) else set()
    if shared and all(name.lower() in SPLIT_NAMES for name in shared):
        return [f"each class folder contains folders named like parts ({level.below}), which are not taken as parts"]
    if shared and all(map(_is_group, nested)):
        raise level.refusal(
            f"{_named(nested)} hold folders of the same names ({level.below}): those look like the classes",
            nested,
            "Or put all images of a class into one folder. If the outer folders are the classes, say so in a table of "
            f"all images, {METADATA_NAMES[0]} (file_name,label)",
        )
    note = f"the classes are {_named(level.tops)}; their subfolders ({level.below}) are merged"
    if shared:
        place = level.walk.path(level.cores[nested[0]])
        way = f"put those in {place} directly into {level.walk.path(level.folder)}" if level.folder else f"use {place}"
        note += f". If the subfolders are the classes, {way}"
    return [note]


def _only_aside(folders: list[str]) -> bool:
    """Whether all folders are called like what lies beside a data set, such as Example_pictures."""
    found = [set(words(_name(folder))) for folder in folders]
    return all(names & _SIDE_WORDS and names <= _SIDE_WORDS | EMPTY_WORDS for names in found)


def _is_group(folder: str) -> bool:
    """Whether a folder is called like a date, a version of all images, or one of several counted groups of them."""
    name = _name(folder)
    part = part_name(name)
    found = words(name)
    plain = {word for word in found if not word.isdecimal()}
    if _DATE.fullmatch(name) or (part is not None and not part.rest):
        return True
    if plain and (plain <= _MONTHS or plain <= _CONTAINERS | _VERSIONS):
        return True
    letters = {word for word in plain if len(word) == 1} - _COUNTED
    counted = bool(letters) or len(plain) < len(found)
    return counted and bool(plain & _COUNTED) and plain <= _COUNTED | _CONTAINERS | letters


def _shared(level: _Level) -> set[str]:
    """Return the names of folders that stand in more than one class folder, where most of the names do."""
    count = Counter(_name(folder) for top in level.nested for folder in level.inner[top])
    shared = {name for name, number in count.items() if number > 1}
    pairs = sum(number for name, number in count.items() if name in shared)
    return shared if len(shared) > 1 and 2 * pairs >= count.total() else set()


def _core(walk: Walk, folder: str) -> str:
    """Go down from a folder as long as there is nothing but one folder, and no part of a data set."""
    while not walk.entries(folder).images:
        inner = holding(walk, folder)
        if len(inner) != 1 or (_has_classes(walk, inner[0]) and _name(inner[0]).lower() in SPLIT_NAMES):
            break
        folder = inner[0]
    return folder


def _named(folders: Iterable[str]) -> str:
    return listed(map(_name, folders))


def _name(folder: str) -> str:
    return folder.rpartition("/")[2]
