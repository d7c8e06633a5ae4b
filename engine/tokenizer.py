"""Text to tokens and back: the chat template, positions of tokens in messages, and text as it is generated.

Wraps the `tokenizers` library (tokenizer.json and a Jinja chat template); checkpoints without tokenizer.json are
read through transformers. Nothing here runs a model.
"""

import datetime as dt
import json
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import jinja2
import jinja2.ext
import jinja2.sandbox
from tokenizers import Tokenizer

from engine.trace import TraceToken

_MAX_HELD_TOKENS = 8  # tokens of one character: more are no valid UTF-8
_Places = list[tuple[int, int]]
_NEXT_STEP = ("Fetch tokenizer.json and tokenizer_config.json of the checkpoint into its folder, or choose another "
              "model; through the API, prompt_token_ids work without.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptText:
    """A prompt as tokens. `offsets` are each token's code points in `text`, None where there is no text.

    `spans` are (start, end, message index) of the messages' contents in `text`, in order.
    """

    ids: tuple[int, ...]
    text: str = ""
    offsets: tuple[tuple[int, int], ...] | None = None
    spans: tuple[tuple[int, int, int], ...] = ()


class ChatTokenizer:
    """The tokenizer of one checkpoint. Encoding and decoding may run in different threads."""

    def __init__(self, backend: Tokenizer, *, template: str | None, special_tokens: Mapping[str, str],
                 end_id: int | None) -> None:
        self._backend = backend
        self._lock = threading.Lock()
        self._special_tokens = dict(special_tokens)
        self._template = None if template is None else _environment().from_string(template)
        self._specials = {token.content for token in backend.get_added_tokens_decoder().values() if token.special}
        self.end_id = end_id
        self.knows_tools = template is not None and "tools" in template
        self.vocab_size: int = backend.get_vocab_size(with_added_tokens=True)

    def render_chat(self, messages: Sequence[Mapping[str, Any]], *,
                    tools: Sequence[Mapping[str, Any]] | None = None) -> PromptText:
        """Apply the chat template, up to where the assistant begins to speak, and tokenize.

        Special tokens spelled inside a message's content are plain text there: content can't end its turn.

        Raises:
            ValueError: the checkpoint has no chat template, or it refuses these messages.
        """
        if self._template is None:
            raise ValueError("This model has no chat template: it continues text, it does not chat. Use "
                             "/v1/completions, or choose a chat model.")
        text = self._render(self._template, messages, tools)
        marked = [_marked(index, message) for index, message in enumerate(messages)]
        spans = _content_spans(text, self._render(self._template, marked, tools), messages)
        ids, offsets = self._encode_guarded(text, spans)
        return PromptText(ids=tuple(ids), text=text, offsets=tuple(offsets), spans=spans)

    def _render(self, template: jinja2.Template, messages: Sequence[Mapping[str, Any]],
                tools: Sequence[Mapping[str, Any]] | None) -> str:
        try:
            return template.render(messages=list(messages), tools=list(tools) if tools else None,
                                   add_generation_prompt=True, **self._special_tokens)
        except Exception as error:  # a template is a program of somebody else's: it can fail in any way
            raise ValueError(f"The model's chat template refuses these messages: {error}. Check the roles and their "
                             "order: system first, then user and assistant in turn.") from error

    def encode_text(self, text: str) -> PromptText:
        """Tokenize plain text for continuation; special tokens spelled in it count as such."""
        ids, offsets = self._encode(text, specials=True)
        return PromptText(ids=tuple(ids), text=text, offsets=tuple(offsets), spans=((0, len(text), 0),))

    def encode_answer(self, text: str) -> list[int]:
        """Tokenize text that the assistant has said already."""
        return self._encode(text, specials=False)[0]

    def _encode_guarded(self, text: str, spans: Sequence[tuple[int, int, int]]) -> tuple[list[int], _Places]:
        """Tokenize a rendered prompt; contents that spell special tokens are encoded apart, as plain text."""
        unsafe = [(start, end) for start, end, _ in spans if any(token in text[start:end] for token in self._specials)]
        ids: list[int] = []
        offsets: _Places = []
        cursor = 0
        for start, end in [*unsafe, (len(text), len(text))]:
            for first, last, specials in ((cursor, start, True), (start, end, False)):
                more, places = self._encode(text[first:last], specials=specials)
                ids += more
                offsets += [(first + left, first + right) for left, right in places]
            cursor = end
        return ids, offsets

    def _encode(self, text: str, *, specials: bool) -> tuple[list[int], _Places]:
        if not text:
            return [], []
        with self._lock:
            self._backend.encode_special_tokens = not specials
            encoding = self._backend.encode(text, add_special_tokens=False)
        return encoding.ids, encoding.offsets

    def decode(self, ids: Sequence[int]) -> str:
        """Turn tokens into text, special tokens spelled out."""
        return str(self._backend.decode(list(ids), skip_special_tokens=False))

    def token_text(self, token_id: int) -> str:
        """Give what a single token reads as; half characters show as U+FFFD."""
        return self.decode([token_id])

    def trace_tokens(self, prompt: PromptText) -> list[TraceToken]:
        """Describe the tokens of a prompt, with their places in its messages."""
        if prompt.offsets is None:
            return [TraceToken(id=token, text=self.token_text(token), phase="prefill") for token in prompt.ids]
        tokens: list[TraceToken] = []
        spans = [*prompt.spans, (len(prompt.text) + 1, len(prompt.text) + 1, -1)]
        current = 0
        for token, (start, end) in zip(prompt.ids, prompt.offsets, strict=True):
            while start >= spans[current][1]:
                current += 1
            first, last, message = spans[current]
            inside = first <= start and end <= last
            tokens.append(TraceToken(
                id=token, text=prompt.text[start:end], phase="prefill", start=start - first if inside else None,
                end=end - first if inside else None, message=message if inside else None))
        return tokens


class Detokenizer:
    """Text of an answer, token by token. A character made of several tokens comes with the last of them."""

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._told = ""
        self._num_told = 0

    def push(self, token_id: int) -> str:
        """Add a token; give the text it completes."""
        self._ids.append(token_id)
        text = self._tokenizer.decode(self._ids)
        if text.endswith("\ufffd") and len(self._ids) - self._num_told < _MAX_HELD_TOKENS:
            return ""
        return self._release(text)

    def finish(self) -> str:
        """Give what is left of a character that was never completed."""
        return self._release(self._tokenizer.decode(self._ids)) if len(self._ids) > self._num_told else ""

    def _release(self, text: str) -> str:
        new = text[len(self._told):]
        # The last tokens stay as context: some tokenizers decode a token by what stands before it.
        self._ids = self._ids[self._num_told:]
        self._num_told = len(self._ids)
        self._told = self._tokenizer.decode(self._ids)
        return new


def load_tokenizer(folder: Path) -> ChatTokenizer:
    """Read the tokenizer of a checkpoint folder.

    Raises:
        ValueError: there is none, or it can't be read.
    """
    config = _read_json(folder / "tokenizer_config.json")
    backend = _load_backend(folder)
    names = {key: _token_string(config.get(key)) for key in ("bos_token", "eos_token", "pad_token", "unk_token")}
    special_tokens = {key: value for key, value in names.items() if value is not None}
    end_id = backend.token_to_id(special_tokens["eos_token"]) if "eos_token" in special_tokens else None
    try:
        return ChatTokenizer(backend, template=read_chat_template(folder), special_tokens=special_tokens,
                             end_id=end_id)
    except jinja2.TemplateError as error:
        raise ValueError(f"The chat template in {folder} is broken ({error}). Fetch chat_template.jinja or "
                         "tokenizer_config.json of the checkpoint again.") from error


def _load_backend(folder: Path) -> Tokenizer:
    path = folder / "tokenizer.json"
    try:
        if path.is_file():
            return Tokenizer.from_file(str(path))
        if not any((folder / name).is_file() for name in ("tiktoken.model", "tokenizer.model", "vocab.json")):
            raise ValueError(f"{folder} holds no tokenizer. {_NEXT_STEP}")
        # Takes seconds to import, and only foreign checkpoints need it.
        from transformers import AutoTokenizer

        backend = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False).backend_tokenizer
        assert isinstance(backend, Tokenizer)
        return backend
    except ValueError:
        raise
    except Exception as error:  # the Rust library raises the bare class for a damaged file
        raise ValueError(f"The tokenizer in {folder} can't be read ({error}). {_NEXT_STEP}") from error


def read_chat_template(folder: Path) -> str | None:
    """Read a checkpoint's chat template from chat_template.jinja or tokenizer_config.json; None without one."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text("utf-8").removesuffix("\n")
    found = _read_json(folder / "tokenizer_config.json").get("chat_template")
    if isinstance(found, list):  # several named templates
        named = {entry.get("name"): entry.get("template") for entry in found if isinstance(entry, dict)}
        found = named.get("default") or next(iter(named.values()), None)
    return found if isinstance(found, str) else None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} can't be read as JSON ({error}). {_NEXT_STEP}") from error
    return value if isinstance(value, dict) else {}


def _token_string(value: object) -> str | None:
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else None


def _marked(index: int, message: Mapping[str, Any]) -> dict[str, Any]:
    """Put a private-use mark in place of a message's content, to find where the template puts it."""
    content = message.get("content")
    return {**message, "content": f"\ue000{index}\ue001"} if isinstance(content, str) and content else dict(message)


def _content_spans(text: str, marked: str, messages: Sequence[Mapping[str, Any]]) -> tuple[tuple[int, int, int], ...]:
    """Find where the messages' contents stand in a rendered prompt; none when a template alters them."""
    spans: list[tuple[int, int, int]] = []
    rebuilt = ""
    for number, piece in enumerate(re.split("\ue000(\\d+)\ue001", marked)):
        if number % 2 == 0:
            rebuilt += piece
            continue
        start = len(rebuilt)
        rebuilt += messages[int(piece)]["content"]
        spans.append((start, len(rebuilt), int(piece)))
    return tuple(spans) if rebuilt == text else ()


def _environment() -> jinja2.Environment:
    """Build the sandbox that chat templates expect: transformers' settings and functions."""
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols])

    def raise_exception(message: str) -> NoReturn:
        raise jinja2.TemplateError(message)

    def to_json(value: object, indent: int | None = None) -> str:
        return json.dumps(value, ensure_ascii=False, indent=indent)

    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: dt.datetime.now().astimezone().strftime(form)
    return environment
