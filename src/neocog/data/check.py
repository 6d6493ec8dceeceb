"""What is wrong with a data set, told before time is spent on training.

error     training cannot work, or loses images: one class only, a class without training images, unreadable files
warning   the results will mislead: (near) copies across parts, one image with two labels, tiny or unequal classes
note      worth knowing: copies within a part, mixed pixel formats, files left out
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from itertools import combinations
from typing import Literal

import numpy as np

from neocog.data.compact import PackedDigests, distinct
from neocog.data.dataset import TASK_IMAGES, Dataset, DataSplits, ImageFacts, ReadProgress
from neocog.data.near import SIDE, near_pairs
from neocog.data.parallel import map_in_order, worker_count
from neocog.errors import DataError
from neocog.text import printable

Severity = Literal["error", "warning", "note"]

_FEW = 10  # images of a class in the training part
_UNEQUAL = 10.0  # largest class over smallest, of the training part
_EXAMPLES = 20  # files named per finding; the count is complete
_SHOWN = 5  # of them in the text
_COMPARED = 100_000  # images of which nearly equal ones are looked for; it takes some 10 s then


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know about the data.

    Arguments:
        severity: "error", "warning" or "note".
        code: a stable name for programs, such as "duplicates-across-parts".
        message: one sentence for people.
        count: images, groups or classes concerned.
        examples: up to 20 of them by name.
    """

    severity: Severity
    code: str
    message: str
    count: int = 1
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """The result of `check_data`.

    Arguments:
        name, source: of the data.
        class_names: in label order.
        counts: part to images per class, in label order.
        smallest, largest: (height, width) in pixels, each extent on its own; None where no image could be read.
        modes: pixel format to number of images.
        findings: errors first.
    """

    name: str
    source: str
    class_names: tuple[str, ...]
    counts: dict[str, tuple[int, ...]]
    smallest: tuple[int, int] | None
    largest: tuple[int, int] | None
    modes: dict[str, int]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings may be there."""
        return not any(finding.severity == "error" for finding in self.findings)

    def to_json(self) -> str:
        """Return everything as one JSON object, in ASCII: a terminal may show it, and names may hold anything."""
        return json.dumps({"ok": self.ok, **asdict(self)}, indent=2)

    def to_text(self) -> str:
        """Return a table of classes and parts and the findings, for people."""
        parts = list(self.counts)
        names = [printable(name) for name in self.class_names]
        width = max(len("class"), *map(len, names))
        lines = [
            printable(f"{self.name}: {self.source}"),
            "",
            "  ".join([f"{'class':<{width}}", *(f"{p:>10}" for p in parts)]),
        ]
        for label, name in enumerate(names):
            lines.append("  ".join([f"{name:<{width}}", *(f"{self.counts[p][label]:>10,}" for p in parts)]))
        lines.append("  ".join([f"{'all':<{width}}", *(f"{sum(self.counts[p]):>10,}" for p in parts)]))
        lines.append("")
        if self.smallest is not None and self.largest is not None:
            (low_h, low_w), (high_h, high_w) = self.smallest, self.largest
            same = self.smallest == self.largest
            sizes = f"{low_h} x {low_w}" if same else f"height {low_h} to {high_h}, width {low_w} to {high_w}"
            lines.append(f"pixels: {sizes}")
            lines.append("format: " + ", ".join(f"{mode} {count:,}" for mode, count in self.modes.items()))
        for finding in self.findings:
            lines.append(printable(f"{finding.severity}: {finding.message}"))
            lines += [f"  {printable(example)}" for example in finding.examples[:_SHOWN]]
            if finding.count > _SHOWN and finding.examples:
                lines.append(f"  and {finding.count - _SHOWN:,} more")
        if not self.findings:
            lines.append("no problems found")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.to_text()


@dataclass(frozen=True, slots=True)
class _Image:
    part: str
    name: str
    label: str
    facts: ImageFacts


def check_data(splits: DataSplits, *, workers: int | None = None, progress: ReadProgress | None = None) -> Report:
    """Decode every image once and report what is wrong with the data.

    Arguments:
        splits: from `open_data`.
        workers: threads; None for one per core.
        progress: called with images done and in all.

    Returns:
        The report; `report.ok` is False where there is an error.

    Example:
        >>> from neocog.data.sources import open_data
        >>> check_data(open_data("digits")).ok
        True
    """
    images, unreadable = _inspect(splits, workers, progress)
    counts = {part: tuple(int(n) for n in dataset.counts()) for part, dataset in splits.items()}
    findings = [
        *_unreadable(unreadable),
        *_classes(splits, counts),
        *_copies(images, splits.class_names),
        *_near_copies(images, list(counts)),
        *_formats(images),
        *(Finding("note", "source", note) for note in splits.notes),
    ]
    order = ("error", "warning", "note")
    heights, widths = [i.facts.height for i in images], [i.facts.width for i in images]
    return Report(
        name=splits.name,
        source=splits.source,
        class_names=splits.class_names,
        counts=counts,
        smallest=(min(heights), min(widths)) if images else None,
        largest=(max(heights), max(widths)) if images else None,
        modes=dict(Counter(i.facts.mode for i in images).most_common()),
        findings=tuple(sorted(findings, key=lambda finding: order.index(finding.severity))),
    )


def _inspect(splits: DataSplits, workers: int | None, progress: ReadProgress | None) -> tuple[list[_Image], list[str]]:
    """Return every readable image, and why the others cannot be read (the reason names the file)."""
    images: list[_Image] = []
    unreadable: list[str] = []
    total, done = sum(len(dataset) for _, dataset in splits.items()), 0
    threads = worker_count(workers)
    for part, dataset in splits.items():
        tasks = [range(len(dataset))[start : start + TASK_IMAGES] for start in range(0, len(dataset), TASK_IMAGES)]
        facts = partial(_facts, dataset)
        with closing(map_in_order(facts, tasks, workers=threads, ahead=8 * threads)) as results:
            for task, found in zip(tasks, results, strict=True):
                for index, result in zip(task, found, strict=True):
                    if isinstance(result, str):
                        unreadable.append(result)
                    else:
                        known = result if total <= _COMPARED else result._replace(thumbnail=b"")
                        images.append(_Image(part, dataset.identifiers[index], dataset.label_text(index), known))
                done += len(task)
                if progress is not None:
                    progress(done, total)
    return images, unreadable


def _facts(dataset: Dataset, indices: range) -> list[ImageFacts | str]:
    """Describe some images; the reason in the place of one that cannot be read."""
    found: list[ImageFacts | str] = []
    for index in indices:
        try:
            found.append(dataset.facts(index))
        except DataError as error:
            found.append(error.message)
    return found


def _unreadable(unreadable: list[str]) -> list[Finding]:
    if not unreadable:
        return []
    count = len(unreadable)
    files = f"{count:,} file{'s' if count != 1 else ''}"
    return [Finding("error", "unreadable", f"{files} cannot be read", count, tuple(unreadable[:_EXAMPLES]))]


def _classes(splits: DataSplits, counts: dict[str, tuple[int, ...]]) -> list[Finding]:
    findings = []
    names = splits.class_names
    train = np.array(counts["train"])
    if len(names) < 2:
        findings.append(Finding("error", "one-class", f"only one class, {names[0]!r}: a classifier needs at least two"))
    missing = tuple(names[i] for i in np.flatnonzero(train == 0))
    if missing:
        message = f"classes without training images: {len(missing)}"
        findings.append(Finding("error", "no-training-images", message, len(missing), missing[:_EXAMPLES]))
    few = tuple(f"{names[i]}: {train[i]}" for i in np.flatnonzero((train > 0) & (train < _FEW)))
    if few:
        message = f"classes with under {_FEW} training images: {len(few)}"
        findings.append(Finding("warning", "few-images", message, len(few), few[:_EXAMPLES]))
    present = train[train > 0]
    if len(present) > 1 and present.max() >= _UNEQUAL * present.min():
        big, small = names[int(train.argmax())], names[int(np.where(train > 0, train, train.max()).argmin())]
        message = (
            f"the largest class has {present.max() / present.min():.1f} times the images of the smallest: "
            f"{big} {present.max():,}, {small} {present.min():,}"
        )
        findings.append(Finding("warning", "unequal-classes", message))
    for part, numbers in counts.items():
        absent = tuple(name for name, n, t in zip(names, numbers, train, strict=True) if n == 0 and t > 0)
        if part != "train" and absent:
            message = f"classes without images in {part}: {len(absent)}"
            findings.append(Finding("warning", "class-not-held-out", message, len(absent), absent[:_EXAMPLES]))
    if splits.empty_classes:
        message = f"class folders without images: {len(splits.empty_classes)}, left out"
        empty = splits.empty_classes
        findings.append(Finding("warning", "empty-class-folder", message, len(empty), empty[:_EXAMPLES]))
    return findings


def _copies(images: list[_Image], class_names: tuple[str, ...]) -> list[Finding]:
    groups: dict[bytes, list[_Image]] = defaultdict(list)
    for image in images:
        groups[image.facts.digest].append(image)
    copies = [group for group in groups.values() if len(group) > 1]
    conflicts = [group for group in copies if len({image.label for image in group}) > 1]
    across = [group for group in copies if len({image.part for image in group}) > 1]
    within = [group for group in copies if len(group) > len({image.part for image in group})]
    findings = []
    if conflicts:
        examples = tuple(" = ".join(f"{i.name} ({i.label})" for i in group) for group in conflicts[:_EXAMPLES])
        message = f"the same image has different labels: {_images(len(conflicts))}"
        findings.append(Finding("warning", "conflicting-labels", message, len(conflicts), examples))
    if across:
        examples = tuple(" = ".join(f"{i.part}: {i.name}" for i in group) for group in across[:_EXAMPLES])
        message = f"the same image is in more than one part, which makes results look too good: {_images(len(across))}"
        findings.append(Finding("warning", "duplicates-across-parts", message, len(across), examples))
    if within:
        examples = tuple(" = ".join(i.name for i in group) for group in within[:_EXAMPLES])
        extra = sum(len(group) - len({image.part for image in group}) for group in within)
        message = f"duplicates within a part: {_images(extra)}"
        findings.append(Finding("note", "duplicates-within-part", message, len(within), examples))
    return findings


def label_conflicts(splits: DataSplits) -> list[list[tuple[str, str]]]:
    """Return the images that have different labels in different places: each as the names and labels that it has.

    Nothing is decoded; equal images are those of the same bytes.
    """
    parts = [part for _, part in splits.items()]
    starts = np.cumsum([0, *map(len, parts)])
    _, contents = distinct(PackedDigests.of(digest for part in parts for digest in part.digests()))
    groups: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for place in np.flatnonzero(np.bincount(contents)[contents] > 1):  # few, of however many images
        number = int(np.searchsorted(starts, place, side="right")) - 1
        part, index = parts[number], int(place - starts[number])
        groups[int(contents[place])].append((part.identifiers[index], part.label_text(index)))
    return [group for group in groups.values() if len({label for _, label in group}) > 1]


def _near_copies(images: list[_Image], parts: list[str]) -> list[Finding]:
    """Find pictures that are in more than one part, nearly the same: saved anew, or in another size."""
    if len(parts) < 2:
        return []
    if not all(image.facts.thumbnail for image in images):
        message = (
            f"more than {_COMPARED:,} images are not compared for those that are nearly the same; copies are found"
        )
        return [Finding("note", "near-duplicates-not-looked-for", message)]
    of_part = {part: [image for image in images if image.part == part] for part in parts}
    pixels = {
        part: np.frombuffer(b"".join(image.facts.thumbnail for image in found), np.uint8).reshape(-1, SIDE, SIDE)
        for part, found in of_part.items()
    }
    examples = []
    concerned = set()
    for one, other in combinations(parts, 2):
        for place, beside in near_pairs(pixels[other], pixels[one]):
            late, early = of_part[other][place], of_part[one][beside]
            if late.facts.digest != early.facts.digest:
                concerned.add((other, place))
                examples.append(f"{one}: {early.name} ~ {other}: {late.name}")
    if not concerned:
        return []
    message = (
        "nearly the same picture is in more than one part, which makes results look too good: "
        f"{_images(len(concerned))}"
    )
    shown = tuple(examples[:_EXAMPLES])
    return [Finding("warning", "near-duplicates-across-parts", message, len(concerned), shown)]


def _formats(images: list[_Image]) -> list[Finding]:
    modes = Counter(image.facts.mode for image in images)
    if len(modes) < 2:
        return []
    rare = modes.most_common()[1:]
    examples = tuple(
        f"{mode}: {next(image.name for image in images if image.facts.mode == mode)}" for mode, _ in rare[:_EXAMPLES]
    )
    message = "pixel formats differ: " + ", ".join(f"{mode} {n:,}" for mode, n in modes.most_common())
    return [Finding("note", "mixed-formats", f"{message}; all are converted alike", len(rare), examples)]


def _images(count: int) -> str:
    return f"{count:,} image{'s' if count != 1 else ''}"
