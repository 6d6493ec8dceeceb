"""README.md of a repository: what a model is for, how good it is, what it does to pictures, and on what terms.

Names of classes come from folders of pictures, and whatever stands in them is shown as it is: it makes neither headings
nor links, nor keys of the front matter, whose values are JSON, which YAML contains.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from neocog.engines.precision import Settled
from neocog.errors import SettingError
from neocog.interop.hub.repository import Repository
from neocog.model.network import Network
from neocog.nn.limits import shown
from neocog.nn.parameters import parameters_of
from neocog.text import printable
from neocog.train.evaluation import Evaluation
from neocog.train.intervals import Interval
from neocog.train.labels import LabelsEvaluation

LICENCES = frozenset(
    (
        *("afl-3.0", "agpl-3.0", "apache-2.0", "artistic-2.0", "bsd", "bsd-2-clause", "bsd-3-clause", "bsl-1.0", "cc"),
        *("cc-by-2.0", "cc-by-3.0", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0"),
        *("cc-by-sa-3.0", "cc-by-sa-4.0", "cc0-1.0", "epl-2.0", "eupl-1.2", "gpl", "gpl-2.0", "gpl-3.0", "isc", "lgpl"),
        *("lgpl-2.1", "lgpl-3.0", "mit", "mpl-2.0", "odbl", "odc-by", "openrail", "pddl", "unlicense", "wtfpl", "zlib"),
    )
)
"""Those of the hub's identifiers that are in use. Any other is written as "other", with its name beside it."""

MOST_CLASSES = 1000
"""Classes that are listed."""

WIDEST = 40
"""Characters of a name up to which figures stand below each other."""

_FRONT = re.compile(r"---\n(.*?\n)?---\s*\n", re.DOTALL)
_LICENCE = re.compile(r"^(license|license_name):[ \t]*(.+?)[ \t]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Figures:
    """How good a model is, on which images.

    Arguments:
        evaluation: what `neocog evaluate` says.
        part: of the data, such as "test".
        caution: why new images may be recognised less often; None where they were kept apart.
        precision: what the answers were computed in.
    """

    evaluation: Evaluation | LabelsEvaluation
    part: str
    caution: str | None = None
    precision: Settled = "float32"


def card_of(
    network: Network,
    place: Repository,
    *,
    measured: Figures | None = None,
    licence: str | None = None,
) -> str:
    """Return the README.md of a model.

    Arguments:
        network: the model.
        place: where it will lie.
        measured: how good it is; None: the card says that this is not known.
        licence: of the model; None: that of the weights that it began with, where they came from elsewhere.

    Raises:
        SettingError: the licence is no short text.
    """
    if licence is not None and not (isinstance(licence, str) and 0 < len(licence.strip()) <= 100):
        raise SettingError(f"a licence must be a short text such as Apache-2.0, got {shown(licence)}")
    origin = network.origin
    terms = licence or (origin.licence if origin is not None else None)
    sections = [
        _front_matter(network, terms),
        f"# {place.name.split('/')[1]}",
        _about(network),
        f"## Use\n\n{_use(place)}",
        f"## Accuracy\n\n{_accuracy(measured)}",
        f"## Classes\n\n{_classes(network, measured)}",
        f"## Pictures\n\n{_pictures(network)}",
        f"## Licence\n\n{_terms(network, terms)}",
    ]
    return "\n\n".join(sections) + "\n"


def licence_in(text: str) -> str | None:
    """Return the licence that a README.md says in its front matter: an identifier of the hub's, or a name.

    >>> licence_in("---\\nlicense: apache-2.0\\n---\\n# A model\\n")
    'apache-2.0'
    """
    front = _FRONT.match("\n".join(text.removeprefix("\ufeff").splitlines()) + "\n")
    found = dict(_LICENCE.findall(front[1] or "")) if front else {}
    said = {key: value.strip("\"'") for key, value in found.items()}
    name = said.get("license_name") if said.get("license", "other") == "other" else said["license"]
    name = name or said.get("license")
    return printable(name)[:100] if name else None


def _front_matter(network: Network, terms: str | None) -> str:
    entries: dict[str, object] = {
        "library_name": "neocog",
        "pipeline_tag": "image-classification",
        "tags": ["neocog", "image-classification"],
        "metrics": ["accuracy"],
    }
    if terms is not None:
        known = terms.strip().lower()
        entries["license"] = known if known in LICENCES else "other"
        if known not in LICENCES:
            entries["license_name"] = re.sub(r"[^a-z0-9.]+", "-", known).strip("-") or "other"
    base = _base(network)
    if base is not None:
        entries["base_model"] = base
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in entries.items()]
    return "\n".join(["---", *lines, "---"])


def _base(network: Network) -> str | None:
    """Return the repository that the weights began in, where that is one."""
    if network.origin is None:
        return None
    try:
        return Repository.parse(network.origin.source).name
    except SettingError:
        return None


def _about(network: Network) -> str:
    from neocog import __version__

    size, classes = network.graph.input, len(network.class_names)
    parameters = sum(parameter.size for parameter in parameters_of(network.graph))
    what = "any of" if network.loss.several_labels else "one of"
    lines = [
        f"A convolutional network that says which {what} {classes:,} classes a picture shows. It has {parameters:,} "
        f"parameters, sees pictures of {size.height} × {size.width} pixels, and was made with neocog {__version__}."
    ]
    if network.origin is not None:
        lines.append(f"It began with the weights of {_code(network.origin.source)}.")
    return " ".join(lines)


def _use(place: Repository) -> str:
    return (
        f"```sh\npip install 'neocog[hub]'\nneocog predict hub:{place} picture.jpg\n```\n\n"
        f'```python\nimport neocog as nc\n\nmodel = nc.from_hub("{place}")\n'
        'probabilities = model.predict_proba(["picture.jpg"])[0]\n```'
    )


def _accuracy(measured: Figures | None) -> str:
    if measured is None:
        return "Not known: the images to measure it on were not at hand when it was written here."
    found = measured.evaluation
    if isinstance(found, LabelsEvaluation):
        f1 = "" if found.macro_f1 is None else f", macro F1 {found.macro_f1:.3f}"
        said = f"All labels right: {_percent(found.accuracy)} of {found.images:,} {measured.part} images{f1}."
    else:
        said = (
            f"**{_percent(found.accuracy)}** of {found.images:,} {measured.part} images"
            f"{_ends(found.accuracy_interval)}; macro recall {_percent(found.macro_recall)}"
            f"{_ends(found.macro_recall_interval)}."
        )
    if measured.precision != "float32":
        said += f" These answers were computed in {measured.precision}."
    return said if measured.caution is None else f"{said}\n\nBut {measured.caution}."


def _classes(network: Network, figures: Figures | None) -> str:
    """List the classes: how well each is recognised, where that is known. A block that is indented means nothing."""
    names = network.class_names
    results = figures.evaluation.per_class if figures is not None and isinstance(figures.evaluation, Evaluation) else {}
    wide = min(max(len(printable(name)) for name in names), WIDEST)
    lines = []
    for place, name in enumerate(names[:MOST_CLASSES]):
        recall = results[name].recall if name in results else None
        found = "" if recall is None else f"  {_percent(recall):>8} of {results[name].images:,}"
        lines.append(f"    {place:>5}  {printable(name):<{wide}}{found}".rstrip())
    if len(names) > MOST_CLASSES:
        lines.append(f"      ...  and {len(names) - MOST_CLASSES:,} more, in config.json")
    return "\n".join(lines)


def _pictures(network: Network) -> str:
    size, normalisation = network.graph.input, network.graph.normalisation
    order = network.color_order or f"{size.channels} channels"
    return (
        f"neocog does this by itself: a picture is read as {order}, brought to {size.height} × {size.width} pixels "
        f"({network.resize}), and its values from 0 to 1 become (value - mean) / std, with "
        f"mean {_numbers(normalisation.mean)} and std {_numbers(normalisation.std)}."
    )


def _terms(network: Network, terms: str | None) -> str:
    lines = [f"{_code(terms)}." if terms is not None else "Not said."]
    origin = network.origin
    if origin is not None:
        lines.append(
            f"The weights that it began with: {_code(origin.source)}, "
            f"licence {_code(origin.licence) if origin.licence is not None else 'not known'}"
            f"{f', SHA-256 {_code(origin.sha256)}' if origin.sha256 is not None else ''}."
        )
    return "\n\n".join(lines)


def _percent(share: float) -> str:
    return f"{share:.2%}".replace("%", " %")


def _ends(interval: Interval | None) -> str:
    return "" if interval is None else f" (95 %: {100 * interval[0]:.1f} to {100 * interval[1]:.1f})"


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _code(text: str) -> str:
    return f"`{printable(text).replace('`', '')}`"
