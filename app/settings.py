"""Every setting in one table, kept in one JSON file; and the small state a window brings back.

The settings dialog is generated from SETTINGS. Nothing here knows Qt.
"""

import json
import logging
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from app.core.atomic import write_file
from app.core.problem import Problem, problem_of_os_error

Value = str | bool | int | float
Kind = Literal["text", "flag", "whole", "number", "choice"]
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One row of the table. `minimum` and `maximum` are inclusive and for numbers only."""

    key: str
    kind: Kind
    default: Value
    text: str
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None

    def check(self, value: object) -> Value:
        """Return `value` as this setting's type. Raises Problem when it cannot be one."""
        if self.kind == "flag" and isinstance(value, bool):
            return value
        if self.kind == "text" and isinstance(value, str):
            return value
        if self.kind == "choice" and value in self.choices:
            return str(value)
        if self.kind in ("whole", "number") and isinstance(value, int | float) and not isinstance(value, bool):
            return self._check_number(value)
        raise Problem(f"The setting {self.key} cannot be {value!r}.", self._expected(), "Choose another value.")

    def _check_number(self, value: float) -> Value:
        if not math.isfinite(value) or (self.kind == "whole" and value != int(value)):
            raise Problem(f"The setting {self.key} cannot be {value!r}.", self._expected(), "Choose another value.")
        if (self.minimum is not None and value < self.minimum) or (self.maximum is not None and value > self.maximum):
            raise Problem(f"The setting {self.key} cannot be {value!r}.", self._expected(), "Choose another value.")
        return int(value) if self.kind == "whole" else float(value)

    def _expected(self) -> str:
        if self.kind == "choice":
            return f"It is one of {', '.join(self.choices)}."
        name = {"flag": "true or false", "text": "a text", "whole": "a whole number", "number": "a number"}[self.kind]
        low = "" if self.minimum is None else f" from {self.minimum:g}"
        high = "" if self.maximum is None else f" to {self.maximum:g}"
        return f"It is {name}{low}{high}."


SETTINGS: tuple[Setting, ...] = (
    Setting(key="theme", kind="choice", default="system", choices=("system", "light", "dark"), text="Colours"),
    Setting(key="model_dir", kind="text", default="", text="Folder of the model (empty: the one in the box)"),
    Setting(
        key="temperature", kind="number", default=0.1, minimum=0, maximum=2, text="Temperature (0 = the likeliest)"
    ),
    Setting(key="top_p", kind="number", default=0.95, minimum=0.01, maximum=1, text="Top-p (probability kept)"),
    Setting(key="seed", kind="whole", default=-1, minimum=-1, maximum=2**31 - 1, text="Seed (-1 = always a new one)"),
    Setting(
        key="max_tokens", kind="whole", default=0, minimum=0, maximum=1_000_000, text="Longest answer, tokens (0: all)"
    ),
    Setting(key="system_prompt", kind="text", default="", text="System prompt of new conversations"),
    Setting(key="code_font_size", kind="whole", default=12, minimum=8, maximum=40, text="Size of code, in pixels"),
    Setting(key="software_webgl", kind="flag", default=False, text="WebGL without a graphics card (after a restart)"),
    Setting(key="confirm_model_code", kind="flag", default=True, text="Ask before running Python a model wrote"),
)


class Settings:
    """The settings of one data folder. A key this version does not know is kept, and listed in `unknown`."""

    def __init__(self, path: Path, table: tuple[Setting, ...] = SETTINGS) -> None:
        self._path = path
        self._table = {setting.key: setting for setting in table}
        self._values: dict[str, Value] = {}
        self.unknown: dict[str, object] = {}
        self.problems: list[str] = []
        self._load()

    def get(self, key: str) -> Value:
        """The value, or the default. Raises KeyError for a key that is not in the table."""
        return self._values.get(key, self._table[key].default)

    def text(self, key: str) -> str:
        """A text or choice setting."""
        value = self.get(key)
        assert isinstance(value, str), key
        return value

    def flag(self, key: str) -> bool:
        """A yes/no setting."""
        value = self.get(key)
        assert isinstance(value, bool), key
        return value

    def whole(self, key: str) -> int:
        """A whole number."""
        value = self.get(key)
        assert isinstance(value, int), key
        return value

    def number(self, key: str) -> float:
        """A number."""
        value = self.get(key)
        assert isinstance(value, int | float), key
        return float(value)

    def set(self, key: str, value: object) -> None:
        """Check, set and save. Raises Problem when the value does not fit or cannot be saved."""
        self._values[key] = self._table[key].check(value)
        self.save()

    def save(self) -> None:
        """Write the file atomically, unknown keys included. Raises Problem."""
        document = json.dumps({**self.unknown, **self._values}, indent=2, ensure_ascii=False, sort_keys=True)
        try:
            write_file(self._path, document.encode())
        except OSError as error:
            raise problem_of_os_error("The settings cannot be saved.", error) from error

    def _load(self) -> None:
        document = _read_json(self._path, self.problems)
        if not isinstance(document, dict):
            return
        for key, value in document.items():
            if key not in self._table:
                self.unknown[key] = value
                self.problems.append(f"{self._path.name}: {key} is not a setting of this version; it is kept.")
                continue
            try:
                self._values[key] = self._table[key].check(value)
            except Problem as problem:
                self.problems.append(f"{self._path.name}: {problem} The default is used.")


class WindowState:
    """Small things a restart brings back (layout, drafts, open tabs), one file each, written atomically."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, name: str) -> bytes | None:
        """The bytes stored under `name`, None when there are none."""
        try:
            return self._file(name).read_bytes()
        except OSError:
            return None

    def store(self, name: str, data: bytes) -> None:
        """Keep `data` under `name`. Raises Problem when it cannot be written."""
        try:
            write_file(self._file(name), data)
        except OSError as error:
            raise problem_of_os_error("The state of the window cannot be saved.", error) from error

    def load_json(self, name: str, default: Any) -> Any:
        """The JSON value stored under `name`, or `default` when there is none or it is damaged."""
        data = self.load(name)
        if data is None:
            return default
        try:
            return json.loads(data)
        except ValueError:
            logger.warning("The stored window state %s is damaged and left out", name)
            return default

    def store_json(self, name: str, value: Any) -> None:
        """Keep a JSON value under `name`. Raises Problem when it cannot be written."""
        self.store(name, json.dumps(value, ensure_ascii=False).encode())

    def _file(self, name: str) -> Path:
        assert re.fullmatch(r"[\w.-]+", name), name
        return self._folder / name


def _read_json(path: Path, problems: list[str]) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        problems.append(_put_aside(path, f"cannot be read ({error})"))
        return None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        problems.append(_put_aside(path, f"is not JSON ({error})"))
        return None
    if not isinstance(document, dict):
        problems.append(_put_aside(path, "holds no JSON object"))
    return document


def _put_aside(path: Path, fault: str) -> str:
    """Keep an unusable file from being written over; say what was done."""
    kept = path.with_suffix(".damaged.json")
    try:
        path.replace(kept)
    except OSError:
        return f"{path.name} {fault}; the defaults are used."
    return f"{path.name} {fault}; it was kept as {kept.name} and the defaults are used."
