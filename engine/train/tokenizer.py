"""Nano's tokenizer: byte-level BPE with K2's chat tokens, trained here and saved for transformers.

Words are learnt within words, phrases of code within lines (engine/train/phrases.py); digits stay single. No token
holds a digit beside something else or goes on behind the end of a line, so it reads the same under llama.cpp's
`superbpe` split, which keeps only numbers apart. The special tokens and their ids are part of the model's format;
`SPECIAL_TOKENS` is the one list.
"""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from engine.train.phrases import learn_phrases
from engine.train.whole_file import whole_file

SPECIAL_TOKENS = (
    "<|pad|>", "<|bos|>", "<|im_end|>", "<|im_system|>", "<|im_user|>", "<|im_assistant|>", "<|im_middle|>",
    "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>", "<|tool_call_begin|>", "<|tool_call_argument_begin|>",
    "<|tool_call_end|>",
)
PAD_ID, BOS_ID, END_ID = 0, 1, 2
TOKENIZER_FILE = "tokenizer.json"  # a folder that has it has the others
WORDS = (  # where tokens end while words are learnt: Qwen2's split, with line ends apart
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|[\r\n]+|[^\S\r\n]+(?!\S)|\s+"
)
LINES = r"\p{N}|[^\r\n\p{N}]+[\r\n]*|[\r\n]+"  # where they end in the finished tokenizer
PHRASE_SHARE = 0.5  # of the vocabulary, where there is code to learn phrases from
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'system' -%}<|im_system|>system<|im_middle|>"
    "{%- elif message['role'] == 'assistant' -%}<|im_assistant|>assistant<|im_middle|>"
    "{%- else -%}<|im_user|>user<|im_middle|>{%- endif -%}"
    "{{- message['content'] -}}<|im_end|>"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|im_assistant|>assistant<|im_middle|>{%- endif -%}"
)


def train_tokenizer(texts: Iterable[str], vocab_size: int, code: Iterable[str] = ()) -> Tokenizer:
    """Learn words from texts and, where pieces of lines of code are given, phrases from those.

    The result has exactly vocab_size entries. Raises ValueError when there is too little to learn that many from.
    """
    pieces = list(code)
    tokenizer = Tokenizer(models.BPE(byte_fallback=False))
    tokenizer.pre_tokenizer = _split(WORDS)
    tokenizer.decoder = decoders.ByteLevel()
    specials = [AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS]
    words = round(vocab_size * (1 - PHRASE_SHARE)) if pieces else vocab_size
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=words, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False, min_frequency=2))
    tokenizer.pre_tokenizer = _split(LINES)
    return grow_tokenizer(tokenizer, pieces, vocab_size) if pieces else _of_size(tokenizer, vocab_size)


def _split(pattern: str) -> pre_tokenizers.PreTokenizer:
    """Cut text by a pattern, then write its bytes in the byte-level alphabet."""
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])


def grow_tokenizer(tokenizer: Tokenizer, code: Iterable[str], vocab_size: int) -> Tokenizer:
    """The tokenizer with phrases of these pieces of code added up to vocab_size; every token it has keeps its id.

    Raises ValueError when the code holds too few phrases.
    """
    pieces = Counter(code)
    encoded = [(encoding.ids, count) for encoding, count in zip(
        tokenizer.encode_batch(list(pieces), add_special_tokens=False), pieces.values(), strict=True)]
    known = tokenizer.get_vocab_size()
    texts = [str(tokenizer.id_to_token(index)) for index in range(known)]
    merges = learn_phrases(encoded, texts, vocab_size - known)
    data: dict[str, Any] = json.loads(tokenizer.to_str())
    data["model"]["vocab"] |= {text: known + index for index, text in enumerate(texts[known:])}
    data["model"]["merges"] += [[texts[left], texts[right]] for left, right in merges]
    return _of_size(Tokenizer.from_str(json.dumps(data)), vocab_size)


def _of_size(tokenizer: Tokenizer, vocab_size: int) -> Tokenizer:
    """The tokenizer, if it has that many entries. Raises ValueError where there was too little to learn from."""
    if tokenizer.get_vocab_size() != vocab_size:
        raise ValueError(
            f"The texts gave {tokenizer.get_vocab_size()} tokens, not {vocab_size}, because they hold too few "
            "different words. Give more or more varied samples, or ask for a smaller vocabulary.")
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path, max_tokens: int) -> None:
    """Write tokenizer_config.json, chat_template.jinja and, last, tokenizer.json, which AutoTokenizer reads."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": max_tokens, "add_prefix_space": False,
        "add_bos_token": False, "bos_token": SPECIAL_TOKENS[BOS_ID], "eos_token": SPECIAL_TOKENS[END_ID],
        "pad_token": SPECIAL_TOKENS[PAD_ID], "clean_up_tokenization_spaces": False,
        "additional_special_tokens": list(SPECIAL_TOKENS[3:]), "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE + "\n", "utf-8")
    with whole_file(folder / TOKENIZER_FILE) as temporary:
        tokenizer.save(str(temporary))


def load_tokenizer(folder: Path) -> Tokenizer:
    """Read tokenizer.json from a folder."""
    return Tokenizer.from_file(str(folder / TOKENIZER_FILE))
