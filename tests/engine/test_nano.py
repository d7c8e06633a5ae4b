"""The shipped Nano, decoded from its FP8, writes the same text in transformers."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from engine.tokenizer import load_tokenizer
from engine.weights.load import load_model
from tests.bench.peers import NANO, write_plain_copy

TOKENS = 120


def test_transformers_writes_what_nano_writes(tmp_path: Path) -> None:
    write_plain_copy(tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32, attn_implementation="eager")
    nano, tokenizer = load_model(NANO, device=torch.device("cpu")).model, load_tokenizer(NANO)
    messages = [{"role": "user", "content": "a snowy mountain scene at night"}]
    prompt = tokenizer.render_chat(messages)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.apply_chat_template(messages, add_generation_prompt=True)["input_ids"] == list(prompt.ids)
    cache, written = nano.new_cache(), list[int]()
    logits = nano.prefill(prompt.ids, cache).logits[-1]
    while len(written) < TOKENS:
        written.append(int(logits.argmax()))
        logits = nano.decode([written[-1]], [cache]).logits[0]
    ids = torch.tensor([prompt.ids])
    answer = theirs.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, temperature=None, top_p=None,
                             max_new_tokens=TOKENS)
    assert answer[0, len(prompt.ids):].tolist() == written
    assert loaded.decode(written) == tokenizer.decode(written)
