"""Training in a notebook: losses and accuracies as a small picture, and the epochs as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, EDGE = 300, 150, 24  # of a picture, pixels
POINTS = 300  # of a curve; more would only make the notebook larger
ROWS = 12  # of a table; the first and the last ones of many
COLOURS = {"": "#2b6cb0", "val_": "#c05621"}

Row = Mapping[str, float | None]


def history_html(rows: Sequence[Row], best: float | None, stopped: str) -> str:
    """Return epochs as HTML that needs nothing else: curves of loss and accuracy, and a table.

    Arguments:
        rows: an epoch each, under the names of history.csv.
        best: number of the epoch that is marked.
        stopped: why training ended.
    """
    if not rows:
        return "<p>no epochs</p>"
    curves = "".join(curve_svg(rows, name) for name in ("loss", "accuracy"))
    names = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    shown = list(rows)
    if len(rows) > ROWS:
        shown = [*rows[: ROWS // 3], *rows[-(ROWS - ROWS // 3) :]]
    lines = []
    for place, row in enumerate(shown):
        if len(rows) > ROWS and place == ROWS // 3:
            lines.append(f'<tr><td colspan="{len(names)}" style="text-align:center">⋯</td></tr>')
        weight = ' style="font-weight:bold"' if row["epoch"] == best else ""
        lines.append(f"<tr{weight}>{''.join(f'<td>{_number(name, row[name])}</td>' for name in names)}</tr>")
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    ended = f"; stopped: {stopped}" if stopped not in ("", "finished") else ""
    note = "" if best is None else f"best: epoch {best:g}"
    return (
        f"<div>{curves}<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
        f"<p>{escape(note + ended)}</p></div>"
    )


def curve_svg(rows: Sequence[Row], name: str) -> str:
    """Return one number of all epochs as an SVG picture, of training and of validation.

    >>> curve_svg([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}], "loss").count("<polyline")
    1
    """
    lines = {prefix: _points(rows, prefix + name) for prefix in COLOURS}
    heights = [y for points in lines.values() for _, y in points]
    if not heights:
        return ""
    low, high = min(heights), max(heights)
    first, last = (float(rows[place]["epoch"] or 0) for place in (0, -1))

    def across(epoch: float) -> float:
        return EDGE + (WIDTH - 2 * EDGE) * (epoch - first) / ((last - first) or 1.0)

    def down(value: float) -> float:
        return HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * (value - low) / ((high - low) or 1.0)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{name}"'
        ' font-family="sans-serif" font-size="10" fill="currentColor">',
        f'<path d="M{EDGE} {EDGE}V{HEIGHT - EDGE}H{WIDTH - EDGE}" fill="none" stroke="#888"/>',
        f'<text x="{EDGE}" y="{EDGE - 6}">{name}, {low:.4g} to {high:.4g}</text>',
        f'<text x="{EDGE}" y="{HEIGHT - 8}">epoch {first:g}</text>',
        f'<text x="{WIDTH - EDGE}" y="{HEIGHT - 8}" text-anchor="end">{last:g}</text>',
    ]
    for place, (prefix, points) in enumerate(lines.items()):
        if not points:
            continue
        where = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in points)
        colour = COLOURS[prefix]
        parts.append(f'<polyline points="{where}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        if len(points) == 1:
            x, y = points[0]
            parts.append(f'<circle cx="{across(x):.1f}" cy="{down(y):.1f}" r="2" fill="{colour}"/>')
        label = "validation" if prefix else "training"
        height = EDGE + 12 * (place + 1)
        parts.append(
            f'<text x="{WIDTH - EDGE}" y="{height - 14}" text-anchor="end" style="fill:{colour}">{label}</text>'
        )
    return "".join([*parts, "</svg>"])


def _points(rows: Sequence[Row], name: str) -> list[tuple[float, float]]:
    """Return (epoch, value) where there is a finite value, at most POINTS of them."""
    found = [(float(row["epoch"] or 0), value) for row in rows if (value := row.get(name)) is not None]
    finite = [(x, y) for x, y in found if math.isfinite(y)]
    step = max(1, math.ceil(len(finite) / POINTS))
    return finite if step == 1 else [*finite[:-1:step], finite[-1]]


def _number(name: str, value: float | None) -> str:
    if value is None:
        return ""
    if name == "epoch":
        return f"{value:g}"
    return f"{value:,.0f}" if name == "images_per_second" else f"{value:.4g}"
