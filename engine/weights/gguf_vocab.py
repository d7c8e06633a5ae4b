"""A checkpoint's tokenizer in the words of a GGUF file: tokens, kinds, merges, and the name of the split.

llama.cpp knows ways of splitting text before merging by name only, so a tokenizer whose split has no name there
would silently read text differently; such a one is refused.
"""

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
from tokenizers import decoders

from engine.tokenizer import read_chat_template

_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LINES = r"\p{N}|[^\r\n\p{N}]+[\r\n]*|[\r\n]+"
_SPLITS = {_QWEN2: "qwen2", _LINES: "superbpe"}  # llama.cpp's superbpe keeps numbers apart and knows no lines
_NO_SUCH_SPLIT = ("Export a checkpoint whose tokenizer.json has one of these splits, or use llama.cpp's own "
                  "convert_hf_to_gguf.py.")


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufVocab:
    """What the `tokenizer.*` keys of a GGUF file hold. `tokens` are in the byte-level alphabet, by id."""

    split: str
    tokens: Sequence[str]
    kinds: Sequence[int]
    merges: Sequence[str]
    adds_bos: bool
    chat_template: str | None


def read_vocab(folder: Path, vocab_size: int) -> GgufVocab:
    """Read tokenizer.json and tokenizer_config.json; ids that no token has become unused ones.

    Raises:
        ValueError: there is no tokenizer.json, or llama.cpp has nothing that reads text as it does.
    """
    values = _read_json(folder / "tokenizer.json")
    config = _read_json(folder / "tokenizer_config.json")
    model = values.get("model") or {}
    if model.get("type") != "BPE" or not model.get("merges"):
        raise ValueError(f"The tokenizer in {folder} is no byte pair encoding with merges. {_NO_SUCH_SPLIT}")
    tokens, kinds = _tokens(model["vocab"], values.get("added_tokens") or [], vocab_size)
    split = _split_name(values)
    if split == "superbpe":
        _check_lines(model["vocab"])
    return GgufVocab(
        split=split, tokens=tokens, kinds=kinds, adds_bos=bool(config.get("add_bos_token", False)),
        merges=[pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]],
        chat_template=read_chat_template(folder))


def _tokens(vocab: Mapping[str, int], added: Sequence[Mapping[str, Any]],
            vocab_size: int) -> tuple[list[str], list[int]]:
    tokens = [f"[PAD{index}]" for index in range(vocab_size)]
    kinds = [int(gguf.TokenType.UNUSED)] * vocab_size
    known = [(text, index, gguf.TokenType.NORMAL) for text, index in vocab.items()]
    for token in added:
        kind = gguf.TokenType.CONTROL if token["special"] else gguf.TokenType.USER_DEFINED
        known.append((token["content"], token["id"], kind))
    for text, index, kind in known:
        if index >= vocab_size:
            raise ValueError(f"The tokenizer has a token {index}, and config.json a vocabulary of {vocab_size}. They "
                             "belong to different models; fetch both again from one place.")
        tokens[index], kinds[index] = text, int(kind)
    return tokens, kinds


def _split_name(values: Mapping[str, Any]) -> str:
    """Find llama.cpp's name for the split; ValueError when it has none."""
    steps = (values.get("pre_tokenizer") or {}).get("pretokenizers") or [values.get("pre_tokenizer") or {}]
    pattern = (steps[0].get("pattern") or {}).get("Regex")
    rest = [(step.get("type"), step.get("add_prefix_space"), step.get("use_regex")) for step in steps[1:]]
    plain = (steps[0].get("behavior") == "Isolated" and not steps[0].get("invert")
             and rest == [("ByteLevel", False, False)] and values.get("normalizer") is None
             and not values["model"].get("ignore_merges"))
    if not plain or pattern not in _SPLITS:
        raise ValueError(
            f"The tokenizer splits text in a way that llama.cpp has no name for here ({pattern or steps!r}). Known are "
            f"{', '.join(f'{name} ({known})' for known, name in _SPLITS.items())}. {_NO_SUCH_SPLIT}")
    return _SPLITS[pattern]


def _check_lines(vocab: Mapping[str, int]) -> None:
    """Check what makes `superbpe` read text as the split by lines does: no token crosses where that one cuts."""
    decoder = decoders.ByteLevel()
    for token in vocab:
        text = decoder.decode([token])
        has_number = len(text) > 1 and any(unicodedata.category(character)[0] == "N" for character in text)
        if has_number or re.search(r"[\r\n][^\r\n]", text):
            raise ValueError(f"The token {text!r} holds a digit beside something else, or goes on behind the end of a "
                             f"line, so llama.cpp's `superbpe` would read text differently. {_NO_SUCH_SPLIT}")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path.parent} holds no {path.name}, and a GGUF file carries its tokenizer. Fetch the "
                         "checkpoint's tokenizer files into it.") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} can't be read as JSON ({error}). Fetch the file again.") from error
    return value if isinstance(value, dict) else {}
