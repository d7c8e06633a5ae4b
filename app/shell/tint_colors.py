"""Colours of code by the tokens that wrote it, and who wrote a selection, in words. Computed from a trace."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PySide6.QtGui import QColor

from app.panes.inspector.color_maps import color_maps, tinted
from app.panes.inspector.colorings import COLORINGS, TokenColors, absence
from app.panes.inspector.legend import Legend
from app.theme.theme import Theme
from engine.routing_stats import leading_expert
from engine.specialisation import labels_of_next, specialisation
from engine.token_classes import CLASSES, classify
from engine.trace import RoutingTrace

MOST_WRITERS = 3
CODE_ALPHA = 0.75  # of the tokens' own: code has colours of its own to be read


@dataclass(frozen=True, slots=True, kw_only=True)
class TintColors:
    """`groups` says which of the colours in `css` a token has; `legend` is pairs of a CSS colour and its words."""

    groups: dict[int, int]
    css: tuple[str, ...]
    legend: tuple[tuple[str, str], ...]


def tint_colors(trace: RoutingTrace, kind: str, layer_row: int, theme: Theme) -> TintColors:
    """Colour the answer's tokens: by a colouring of the token strip, or by the class of their leading expert."""
    rows = trace.rows_of("decode")
    if kind == "class":
        return _by_class(trace, rows, layer_row, theme)
    coloring = next(coloring for coloring in COLORINGS if coloring.key == kind)
    missing = absence(trace, coloring, has_probabilities=any(token.logprob is not None for token in trace.tokens))
    if missing:
        return TintColors(groups={}, css=(), legend=((theme.css("faint"), missing),))
    colors = TokenColors(trace, coloring, layer_row if coloring.layers != "none" else None, color_maps(theme))
    colors.update(len(trace), rows)
    argb, maps = colors.colors(rows), color_maps(theme)
    if coloring.layers == "one":  # experts without a hue of their own leave the code as it is
        argb = np.where(argb == tinted(np.array([maps.other], np.uint32))[0], np.uint32(0), argb)
    else:  # the maps of values are opaque; text is to be read on them
        argb = tinted(argb) * (argb > 0)
    return _grouped(rows, argb, _legend_items(colors.legend(rows)))


def _by_class(trace: RoutingTrace, rows: npt.NDArray[np.intp], layer_row: int, theme: Theme) -> TintColors:
    passes = trace.passes(rows)
    table = specialisation(trace, labels_of_next(classify(trace.tokens)), CLASSES, passes)
    layer = trace.layers[layer_row]
    class_of = np.full(trace.num_experts, -1)
    for claim in reversed([claim for claim in table.claims() if claim.layer == layer]):
        class_of[claim.expert] = CLASSES.index(claim.token_class)
    leaders = leading_expert(trace, layer_row, passes)
    classes = np.where(leaders >= 0, class_of[leaders], -1)
    hues = np.array([theme.expert_color(index).rgba() for index in range(len(CLASSES))], np.uint32)
    argb = np.where(classes >= 0, tinted(hues)[classes], np.uint32(0))
    counts = np.bincount(classes[classes >= 0], minlength=len(CLASSES))
    legend = [(theme.expert_color(index).name(), f"{CLASSES[index]} {counts[index] / max(1, len(rows)):.0%}")
              for index in np.argsort(-counts).tolist() if counts[index]]
    if not legend:
        legend = [(theme.css("faint"), "no expert of this layer stands out for a class")]
    return _grouped(rows, np.asarray(argb, np.uint32), tuple(legend))


def _grouped(rows: npt.NDArray[np.intp], argb: npt.NDArray[np.uint32], legend: tuple[tuple[str, str], ...]
             ) -> TintColors:
    known, places = np.unique(argb, return_inverse=True)
    groups = {int(row): int(place) for row, place, color in zip(rows, places, argb, strict=True) if color}
    return TintColors(groups=groups, css=tuple(_css(int(color)) for color in known), legend=legend)


def _css(argb: int) -> str:
    color = QColor.fromRgba(argb)
    return f"rgba({color.red()}, {color.green()}, {color.blue()}, {color.alphaF() * CODE_ALPHA:.2f})"


def _legend_items(legend: Legend) -> tuple[tuple[str, str], ...]:
    items = [(QColor.fromRgb(item.argb).name(), item.text) for item in legend.items if item.argb]
    if legend.gradient is not None:
        low, high = (QColor.fromRgb(int(legend.gradient[place])).name() for place in (0, -1))
        items = [(low, legend.low), (high, legend.high), *items]
    return tuple(items)


def writers_in_words(trace: RoutingTrace, first: int, last: int, layer_row: int) -> str:
    """Say which experts of a layer were chosen for some tokens more often than for the rest of the answer."""
    rows = trace.rows_of("decode")
    inside = rows[(rows >= first) & (rows <= last)]
    outside = rows[(rows < first) | (rows > last)]
    if not len(inside):
        return ""
    ids = trace.ids[trace.passes(), layer_row]
    every = np.arange(trace.num_experts)
    here = (ids[inside][:, :, None] == every).any(axis=1).mean(axis=0)
    else_ = (ids[outside][:, :, None] == every).any(axis=1).mean(axis=0) if len(outside) else np.zeros(len(every))
    spread = np.sqrt(np.maximum(else_ * (1 - else_), 1e-3) / len(inside))
    order = np.argsort(-(here - else_) / spread, kind="stable")[:MOST_WRITERS]
    named = [f"{expert} ({here[expert]:.0%}, elsewhere {else_[expert]:.0%})"
             for expert in order.tolist() if here[expert]]
    noun = "token" if len(inside) == 1 else "tokens"
    return f"{len(inside)} {noun}, layer {trace.layers[layer_row]}: experts {', '.join(named)}"
