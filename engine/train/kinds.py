"""Kinds of program: loads resources/corpus/kinds/*.toml and renders their templates.

Here live the data types of a kind and the rendering with attribute spans. How requests are worded is in
phrasing.py, how samples are built in corpus.py.

A kind file holds `kind`, `family`, `title`, `prompts`, `answer`, `program` (a jinja2 template), perhaps a table
`[telling_prompts]` of prompts that state settings themselves ("a school of fish" = { shape = "fish" }), and one table
`[attributes.NAME]` per attribute, in the order of the understood line. An attribute is one of
  choice: `default` is the name of one of its values; in the template `{{ name }}` is that name and
          `{{ name.field }}` a field of the value's `use` (`use = "..."` alone is `{{ name.use }}`);
  flag:   `flag = true`; values `on` and `off`; off is the default; in the template a bool;
  number: `default`, `min`, `max` and `choices` are integers; `values` holds words for single numbers.
Each value (and a number attribute itself, with `{n}`) has phrases by the place they take in a request: `adj`
(before the noun), `with` (after "with"), `post` (after the noun), `edit` (an order), and `say` (what the
answer to an edit states).
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jinja2

Setting = str | int | bool
Settings = Mapping[str, Setting]
Span = tuple[int, int]

_OPEN, _CLOSE = "\ue000", "\ue001"
_BRANCH = re.compile(
    r"(\{%-?\s*(?:if|elif|else|endif)\b[^%]*-?%\}\n?)"  # the tag
    r"([^\n{]*(?:\{\{[^}]*\}\}[^\n{]*|\{(?![{%])[^\n{]*)*)"  # the line after it, up to the next tag
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrases:
    """Fragments for one value, by the place they take in a request."""

    adj: tuple[str, ...] = ()
    with_: tuple[str, ...] = ()
    post: tuple[str, ...] = ()
    edit: tuple[str, ...] = ()
    say: str = ""

    def filled(self, number: int) -> "Phrases":
        """The same with `{n}` filled in."""
        return Phrases(
            adj=tuple(text.replace("{n}", str(number)) for text in self.adj),
            with_=tuple(text.replace("{n}", str(number)) for text in self.with_),
            post=tuple(text.replace("{n}", str(number)) for text in self.post),
            edit=tuple(text.replace("{n}", str(number)) for text in self.edit),
            say=self.say.replace("{n}", str(number)),
        )


class Value(str):
    """A choice as the template sees it: its canonical name, with the fields of its `use` as attributes."""

    fields: dict[str, str]

    def __new__(cls, name: str, fields: Mapping[str, str]) -> "Value":
        """Name and fields."""
        value = super().__new__(cls, name)
        value.fields = dict(fields)
        return value

    def __getattr__(self, name: str) -> str:
        try:
            return self.fields[name]
        except KeyError:
            raise AttributeError(name) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One named thing of a kind that a request can set."""

    name: str
    type: Literal["choice", "flag", "number"]
    default: Setting
    values: Mapping[str, Phrases]
    fields: Mapping[str, Mapping[str, str]]
    numbers: tuple[int, ...]
    any_number: Phrases
    least: int
    most: int

    def phrases(self, setting: Setting) -> list[Phrases]:
        """The phrase sets that fit a setting (numbers can have their own words beside the general ones)."""
        if self.type == "flag":
            return [self.values["on" if setting else "off"]]
        own = self.values.get(str(setting))
        if self.type == "choice":
            assert own is not None, (self.name, setting)
            return [own]
        assert isinstance(setting, int)
        general = [] if own is not None and setting == 0 else [self.any_number.filled(setting)]
        return general + ([own] if own is not None else [])

    def say(self, setting: Setting) -> str:
        """What the answer to an edit states about the new setting."""
        return next(phrases.say for phrases in self.phrases(setting) if phrases.say)

    def chip(self, setting: Setting) -> str:
        """The setting in canonical words; an off flag has none (it is left out of the line)."""
        return self.name if self.type == "flag" else f"{self.name}: {setting}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A program and the character spans in it that depend on attributes."""

    text: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of program, as its file describes it."""

    name: str
    family: str
    title: str
    prompts: tuple[str, ...]
    telling_prompts: Mapping[str, Settings]
    answers: tuple[str, ...]
    attributes: Mapping[str, Attribute]
    template: jinja2.Template

    def defaults(self) -> dict[str, Setting]:
        """Every attribute at its default."""
        return {name: attribute.default for name, attribute in self.attributes.items()}

    def understood(self, settings: Settings, listed: Sequence[str] | frozenset[str]) -> str:
        """The first line: what was asked for or differs from the default, in the order of the file."""
        chips = [
            attribute.chip(settings[name])
            for name, attribute in self.attributes.items()
            if settings[name] is not False and (name in listed or settings[name] != attribute.default)
        ]
        return f"<!-- {' | '.join([self.name, *chips])} -->"

    def render(self, settings: Settings, listed: Sequence[str] | frozenset[str] = ()) -> Rendered:
        """The whole program; `listed` names attributes the request set, which the first line always states."""
        variables: dict[str, object] = {}
        for name, attribute in self.attributes.items():
            setting = settings[name]
            if attribute.type == "choice":
                variables[name] = Value(str(setting), attribute.fields[str(setting)])
            else:
                variables[name] = setting
        line = _OPEN + self.understood(settings, listed) + _CLOSE + "\n"
        return strip_sentinels(line + self.template.render(title=self.title, **variables).strip("\n") + "\n")


def strip_sentinels(marked: str) -> Rendered:
    """Takes the sentinels out of a rendered text and returns where they were; nested ones become one span.

    An empty one becomes a span of the character after it, which is there because nothing else is.
    """
    characters: list[str] = []
    spans: list[Span] = []
    depth = start = 0
    for character in marked:
        if character == _OPEN:
            if depth == 0:
                start = len(characters)
            depth += 1
        elif character == _CLOSE:
            depth -= 1
            if depth == 0:
                if spans and spans[-1][1] > start:  # an empty one right before
                    start = spans.pop()[0]
                spans.append((start, max(start + 1, len(characters))))
        else:
            characters.append(character)
    assert depth == 0, marked
    return Rendered(text="".join(characters), spans=tuple(spans))


def mark_branches(source: str) -> str:
    """Puts sentinels around the first line of every branch, since which branch it is depends on an attribute.

    And around the line after the last branch: where a branch was left out, that is the line that says so.
    """
    return _BRANCH.sub(lambda match: f"{match[1]}{_OPEN}{match[2]}{_CLOSE}" if match[2].strip() else match[0], source)


def _mark_value(value: object) -> object:
    return value if isinstance(value, jinja2.Undefined) else f"{_OPEN}{value}{_CLOSE}"


def load_kinds(folder: Path) -> dict[str, Kind]:
    """All kinds below `folder` (resources/corpus), by name in alphabetical order.

    Raises ValueError, naming the file, for a kind file that does not keep to the format above.
    """
    parts = {path.stem: mark_branches(path.read_text("utf-8")) for path in sorted((folder / "parts").glob("*.html"))}
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(parts),
        undefined=jinja2.StrictUndefined,
        finalize=_mark_value,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701
    )
    kinds = [_load_kind(path, environment) for path in sorted((folder / "kinds").glob("*.toml"))]
    return {kind.name: kind for kind in kinds}


def _load_kind(path: Path, environment: jinja2.Environment) -> Kind:
    try:
        data = tomllib.loads(path.read_text("utf-8"))
        attributes = {name: _attribute(name, table) for name, table in data["attributes"].items()}
        return Kind(
            name=data["kind"],
            family=data["family"],
            title=data["title"],
            prompts=tuple(data["prompts"]),
            telling_prompts=_telling_prompts(data.get("telling_prompts", {}), attributes),
            answers=tuple(data["answer"]),
            attributes=attributes,
            template=environment.from_string(mark_branches(data["program"].lstrip("\n"))),
        )
    except KeyError as error:
        raise ValueError(f"{path.name} lacks {error}. Compare it with mountains.toml and add it.") from error
    except (ValueError, TypeError, AttributeError, jinja2.TemplateError) as error:
        raise ValueError(f"{path.name} can't be read as a kind: {error}. Compare it with mountains.toml.") from error


def _telling_prompts(table: Mapping[str, Settings], attributes: Mapping[str, Attribute]) -> dict[str, Settings]:
    for prompt, settings in table.items():
        for name, setting in settings.items():
            if name not in attributes or (attributes[name].type == "choice" and setting not in attributes[name].values):
                raise ValueError(f"the prompt {prompt!r} states {name} = {setting!r}, which is no setting of this kind")
    return dict(table)


def _phrases(table: Mapping[str, Any]) -> Phrases:
    return Phrases(
        adj=tuple(table.get("adj", ())),
        with_=tuple(table.get("with", ())),
        post=tuple(table.get("post", ())),
        edit=tuple(table.get("edit", ())),
        say=table.get("say", ""),
    )


def _fields(table: Mapping[str, Any]) -> dict[str, str]:
    use = table.get("use", {})
    fields = {"use": use} if isinstance(use, str) else {name: str(value) for name, value in use.items()}
    clash = [name for name in fields if hasattr(str, name)]
    if clash:
        raise ValueError(f"the field name {clash[0]!r} is a method of strings; choose another")
    return fields


def _attribute(name: str, table: Mapping[str, Any]) -> Attribute:
    values = {key: _phrases(value) for key, value in table.get("values", {}).items()}
    flag = bool(table.get("flag", False))
    default: Setting = False if flag else table["default"]
    kind: Literal["choice", "flag", "number"] = "flag" if flag else "choice" if isinstance(default, str) else "number"
    if kind == "choice" and default not in values:
        raise ValueError(f"{name} has no value {default!r}, which is its default")
    if kind == "flag" and set(values) != {"on", "off"}:
        raise ValueError(f"the flag {name} needs the values on and off")
    numbers: set[int] = set()
    if kind == "number":
        numbers = {*table["choices"], *(int(key) for key in values), table["default"]}
    return Attribute(
        name=name,
        type=kind,
        default=default,
        values=values,
        fields={key: _fields(value) for key, value in table.get("values", {}).items()},
        numbers=tuple(sorted(numbers)),
        any_number=_phrases(table),
        least=table["min"] if kind == "number" else 0,
        most=table["max"] if kind == "number" else 0,
    )
