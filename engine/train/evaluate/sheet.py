"""A contact sheet: pictures of what a model's answers to held-out requests look like, the requests beneath.

Nothing is chosen: the first new programs of the evaluation, in its order, good or bad.
"""

import textwrap
from pathlib import Path
from typing import Any

from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from engine.train.evaluate.answers import Question
from engine.train.evaluate.run import Evaluation, tell

PICTURES = 40
COLUMNS = 5
CELL = (320, 200)
TEXT_HEIGHT = 54
MARGIN = 14
_PAPER, _INK, _EMPTY, _FAULT = "#ffffff", "#22262e", "#e6e8ec", "#b3261e"


def draw_sheet(evaluation: Evaluation, out: Path) -> dict[str, Any]:
    """Have the answers written and run, and draw the sheet."""
    assert evaluation.runners is not None
    pages = evaluation.runners.seen
    items = [item for item in evaluation.items if item.sample.type == "create"][:PICTURES]
    questions = [Question(messages=item.sample.messages) for item in items]
    evaluation.answers.ask(questions, tell)
    programs = [evaluation.program(item) for item in items]
    pages.run([program for program in programs if program], tell)
    cells = []
    for item, program in zip(items, programs, strict=True):
        report = pages.report(program) if program else None
        picture = pages.picture(program) if program else None
        errors = report["errors"] if report else []
        fault = "no program" if not program else errors[0]["message"] if errors else ""
        cells.append((picture if picture and picture.exists() else None, item.request, fault))
    paint(cells, out)
    return {"pictures": len(cells)}


def paint(cells: list[tuple[Path | None, str, str]], out: Path) -> None:
    """Write the sheet: (picture, request, what went wrong or "") by rows."""
    width, height = CELL
    rows = -(-len(cells) // COLUMNS)
    step_x, step_y = width + MARGIN, height + TEXT_HEIGHT + MARGIN
    sheet = Image.new("RGB", (COLUMNS * step_x + MARGIN, rows * step_y + MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 12)
    for index, (picture, request, fault) in enumerate(cells):
        x, y = MARGIN + index % COLUMNS * step_x, MARGIN + index // COLUMNS * step_y
        if picture is None:
            draw.rectangle((x, y, x + width - 1, y + height - 1), fill=_EMPTY)
        else:
            with Image.open(picture) as image:
                sheet.paste(image.convert("RGB").resize(CELL, Image.Resampling.LANCZOS), (x, y))
        said = textwrap.wrap(request, 50)[:2]
        draw.text((x, y + height + 5), "\n".join(said), font=font, fill=_INK)
        if fault:
            draw.text((x, y + height + 5 + 15 * len(said)), fault[:48], font=font, fill=_FAULT)
    sheet.quantize(192, dither=Image.Dither.NONE).save(out, optimize=True)
