"""The drawing of models side by side: their layers, one layer's experts, their parameters, and the work per token."""

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.theme.metrics import GAP_L, GAP_S, SMALL_SIZE, TEXT_SIZE, TINY_SIZE
from app.theme.theme import Theme
from engine.anatomy import Anatomy

LINE_PX = 17
LAYERS_PX = 26
EXPERTS_PX = 58
BAR_PX = 16
LABEL_PX = 13
LEAST_COLUMN_PX = 250
WORK_PARTS = ("attention", "routed", "shared", "dense", "router", "head")
PART_TITLES = {"attention": "attention", "routed": "routed experts", "shared": "shared expert", "dense": "dense layers",
               "router": "router", "head": "output head", "embedding": "embedding"}
_HUES = {"attention": 0, "routed": 1, "shared": 2, "dense": 4, "router": 6, "head": 7}
_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def short(value: float, unit: str = "") -> str:
    """Write a large number with three digits: 1.03T, 32.6G, 16.4M."""
    for size, letter in _UNITS:
        if value >= size:
            digits = value / size
            return f"{digits:.{0 if digits >= 100 else 1 if digits >= 10 else 2}f} {letter}{unit}".rstrip()
    return f"{value:.0f} {unit}".rstrip()


def parameters(value: float) -> str:
    """Write a number of parameters as people do: 671B, 18.6M."""
    return short(value).replace(" G", "B").replace(" ", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """What is drawn as a bar: names and values; `total` is what the whole bar stands for."""

    values: tuple[tuple[str, float], ...]
    total: float


def work(model: Anatomy, context: int) -> Shares:
    """FLOPs per token by part."""
    flops = model.flops(context)
    values = tuple((name, flops[name]) for name in WORK_PARTS if flops.get(name))
    return Shares(values=values, total=sum(flops.values()))


def describe(model: Anatomy, context: int) -> str:
    """Say everything the drawing shows of a model, for screen readers."""
    shape = model.shape
    bar = work(model, context)
    parts = ", ".join(f"{PART_TITLES[name]} {value / bar.total:.0%}" for name, value in bar.values)
    used = model.active / model.total
    return (f"{model.name}: {shape.num_layers} layers, {len(shape.moe_layers)} with {shape.num_experts} experts, of "
            f"which {shape.top_k} run per token and {model.num_shared} always; {model.num_heads} heads; "
            f"{parameters(model.total)} parameters, {parameters(model.active)} active ({used:.1%}); "
            f"{short(bar.total, 'FLOP')} per token at a context of {context:,} tokens: {parts}; "
            f"{short(model.bytes_read(context), 'B')} read per token; "
            f"{short(model.kv_bytes_per_token, 'B')} of cache per token.")


class AnatomyDrawing(QWidget):
    """Paints one column a model. Bars of one kind share their meaning, not their scale, which is written on them."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._models: tuple[Anatomy, ...] = ()
        self._context = 0
        self.setAccessibleName("Anatomy of the models")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.theme_changed.connect(self.update)

    def set_models(self, models: Sequence[Anatomy], context: int) -> None:
        """Draw these models, at a context of so many tokens."""
        self._models, self._context = tuple(models), context
        self.setAccessibleDescription("\n".join(describe(model, context) for model in models))
        self.updateGeometry()
        self.update()

    def part_color(self, name: str) -> QColor:
        """Return the colour of a part of the work."""
        return self._theme.expert_color(_HUES[name])

    # --- painting

    def _column(self, number: int) -> tuple[float, float]:
        width = (self.width() - GAP_L * 2 * (len(self._models) - 1)) / len(self._models)
        return number * (width + GAP_L * 2), width

    def _paint_model(self, painter: QPainter, model: Anatomy, x: float, width: float) -> None:
        shape = model.shape
        y = self._text(painter, x, 0, width, model.name, "text", TEXT_SIZE, bold=True) + 2
        dense = shape.num_layers - len(shape.moe_layers)
        y = self._text(painter, x, y, width, f"{shape.num_layers} layers ({dense} dense) · {model.num_heads} heads · "
                       f"width {model.hidden_size:,} · {model.precision}")
        y = self._layers(painter, model, QRectF(x, y + 2, width, LAYERS_PX)) + 8
        y = self._text(painter, x, y, width, f"{shape.num_experts} experts in a layer, {shape.top_k} run for a token, "
                       f"{model.num_shared} shared")
        y = self._experts(painter, model, QRectF(x, y + 3, width, EXPERTS_PX)) + 10
        used = model.active / model.total
        y = self._text(painter, x, y, width, f"{parameters(model.total)} parameters, {parameters(model.active)} "
                       f"({used:.1%}) run for a token")
        y = self._bar(painter, QRectF(x, y + 3, width, BAR_PX), ((used, self._theme.color("accent")),)) + 10
        bar = work(model, self._context)
        y = self._text(painter, x, y, width, f"{short(bar.total, 'FLOP')} for a token after {self._context:,}")
        parts = tuple((value / bar.total, self.part_color(name)) for name, value in bar.values)
        y = self._bar(painter, QRectF(x, y + 3, width, BAR_PX), parts) + 3
        y = self._legend(painter, bar, x, y, width) + 8
        self._numbers(painter, model, x, y, width)

    def _text(self, painter: QPainter, x: float, y: float, width: float, text: str, role: str = "dim",
              size: int = SMALL_SIZE, *, bold: bool = False) -> float:
        font = self._theme.font(size, bold=bold)
        painter.setFont(font)
        painter.setPen(self._theme.color(role))
        metrics = QFontMetrics(font)
        text = metrics.elidedText(text, Qt.TextElideMode.ElideRight, int(width))
        painter.drawText(QRectF(x, y, width, LINE_PX), Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, text)
        return y + LINE_PX

    def _layers(self, painter: QPainter, model: Anatomy, area: QRectF) -> float:
        """One upright bar a layer, in the order a token passes them; dense ones are grey."""
        count, moe = model.shape.num_layers, frozenset(model.shape.moe_layers)
        step = min(area.width() / count, 14.0)
        painter.setPen(Qt.PenStyle.NoPen)
        for layer in range(count):
            painter.setBrush(self._theme.color("accent" if layer in moe else "faint"))
            painter.drawRect(QRectF(area.left() + layer * step, area.top(), max(1.0, step - 1.5), area.height()))
        return area.bottom()

    def _experts(self, painter: QPainter, model: Anatomy, area: QRectF) -> float:
        """A square an expert: those that run for one token are filled, the shared ones stand apart."""
        count = model.shape.num_experts
        wanted_px = (area.width() * area.height() / count) ** 0.5
        rows = max(1, min(count, int(area.height() // max(4.0, min(14.0, wanted_px)))))
        while rows < count and -(-count // rows) * (area.height() / rows) > area.width() - 40:
            rows += 1
        side = min(area.height() / rows, 14.0)
        per_row = -(-count // rows)
        # A token's experts are spread over the layer as a token's are; which ones they are means nothing here.
        stride = 0.6180339887
        chosen = sorted({int((number * stride % 1) * count) for number in range(1, model.shape.top_k + 1)})
        calm, lit, shared = (self._theme.color("line"), self._theme.color("accent"), self.part_color("shared"))
        painter.setPen(Qt.PenStyle.NoPen)
        for expert in range(count):
            painter.setBrush(lit if expert in chosen else calm)
            x, y = area.left() + expert % per_row * side, area.top() + expert // per_row * side
            painter.drawRect(QRectF(x, y, side - 1, side - 1))
        painter.setBrush(shared)
        for number in range(model.num_shared):
            painter.drawRect(QRectF(area.left() + (per_row + 1 + number) * side, area.top(), side - 1, side - 1))
        return area.bottom()

    def _bar(self, painter: QPainter, area: QRectF, parts: Sequence[tuple[float, QColor]]) -> float:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._theme.color("line"))
        painter.drawRect(area)
        x = area.left()
        for share, color in parts:
            painter.setBrush(color)
            width = share * area.width()
            painter.drawRect(QRectF(x, area.top(), max(1.0, width - (1 if width > 3 else 0)), area.height()))
            x += width
        return area.bottom()

    def _legend(self, painter: QPainter, bar: Shares, x: float, y: float, width: float) -> float:
        painter.setFont(self._theme.font(TINY_SIZE))
        metrics = QFontMetrics(painter.font())
        at = x
        for name, value in bar.values:
            text = f"{PART_TITLES[name]} {value / bar.total:.0%}"
            needed = metrics.horizontalAdvance(text) + 24
            if at > x and at + needed > x + width:
                at, y = x, y + LINE_PX - 2
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(self.part_color(name))
            painter.drawEllipse(QPointF(at + 4, y + LINE_PX / 2), 4, 4)
            painter.setPen(self._theme.color("dim"))
            painter.drawText(QRectF(at + 12, y, needed, LINE_PX), Qt.AlignmentFlag.AlignVCenter, text)
            at += needed
        return y + LINE_PX

    def _numbers(self, painter: QPainter, model: Anatomy, x: float, y: float, width: float) -> None:
        cache = self._context * model.kv_bytes_per_token
        weights = model.bytes_read(0)
        whole = sum(part.total * part.bytes_per_parameter for part in model.parts)
        lines = (
            f"Reads {short(weights, 'B')} a token; dense, it would read {whole / weights:.0f} times that",
            f"KV cache: {short(model.kv_bytes_per_token, 'B')} a token, {short(cache, 'B')} for {self._context:,}",
            f"Memory for its weights: {short(whole, 'B')}",
        )
        for text in lines:
            y = self._text(painter, x, y, width, text, "text")

    # --- Qt overrides

    def sizeHint(self) -> QSize:
        """Return the height of a column."""
        height = 9 * LINE_PX + LAYERS_PX + EXPERTS_PX + 2 * BAR_PX + 2 * (LINE_PX - 2) + 52
        return QSize(LEAST_COLUMN_PX * max(1, len(self._models)), height + GAP_S)

    def minimumSizeHint(self) -> QSize:
        """Return the least width that can be read."""
        return self.sizeHint()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint every column."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for number, model in enumerate(self._models):
            self._paint_model(painter, model, *self._column(number))
