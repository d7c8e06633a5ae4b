"""One engine of the comparison, driven by lines of JSON: `python -m tests.bench.peer_process NAME MODEL`.

In: {"ids": [...], "count": N}; out: {"prefill_s", "decode_tokens_per_s", "tokens"}. One thread, greedy, float32.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

Generate = Callable[[Sequence[int], int], Iterator[int]]


def transformers_generator(folder: str) -> Generate:
    """Transformers' `generate`; eager attention, which for this architecture is its fastest on a CPU."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.generation.streamers import BaseStreamer

    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")

    class Stamps(BaseStreamer):  # type: ignore[misc]
        def __init__(self) -> None:
            self.found: list[tuple[int, float]] = []
            self.is_prompt = True

        def put(self, value: Any) -> None:
            if not self.is_prompt:
                self.found.append((int(value), time.perf_counter()))
            self.is_prompt = False

        def end(self) -> None:
            pass

    def generate(ids: Sequence[int], count: int) -> Iterator[Any]:
        stamps = Stamps()
        inputs = torch.tensor([list(ids)])
        model.generate(inputs, attention_mask=torch.ones_like(inputs), max_new_tokens=count, do_sample=False,
                       temperature=None, top_p=None, streamer=stamps)
        yield from stamps.found

    return generate


def llama_generator(file: str) -> Generate:
    """llama.cpp through llama-cpp-python."""
    import llama_cpp

    exact = llama_cpp.GGML_TYPE_F32  # its cache, as ours
    llama = llama_cpp.Llama(file, n_ctx=2048, n_threads=1, n_threads_batch=1, type_k=exact, type_v=exact, verbose=False)
    end = llama.token_eos()

    def generate(ids: Sequence[int], count: int) -> Iterator[Any]:
        llama.reset()
        for number, token in enumerate(llama.generate(list(ids), temp=0.0), start=1):
            yield token, time.perf_counter()
            if number == count or token == end:
                return

    return generate


def our_generator(folder: str) -> Generate:
    """The worker thread, as the API uses it."""
    from engine.events import Delta, GenerateRequest
    from engine.generate import generate_events, open_worker
    from engine.sampling import SamplingParams
    from engine.tokenizer import PromptText

    worker = open_worker(Path(folder), device="cpu", report=logging.getLogger(__name__).info)
    model = worker.status.model
    assert model is not None

    def generate(ids: Sequence[int], count: int) -> Iterator[Any]:
        request = GenerateRequest(prompt=PromptText(ids=tuple(ids)), sampling=SamplingParams(temperature=0),
                                  max_tokens=count)
        for event in generate_events(worker, request, model):
            if isinstance(event, Delta):
                for score in event.scores:
                    yield score.token_id, time.perf_counter()

    return generate


def main() -> None:
    """Serve runs until standard input closes."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not come between
    makers = {"Expertarium": our_generator, "transformers": transformers_generator, "llama.cpp": llama_generator}
    generate = makers[sys.argv[1]](sys.argv[2])
    for line in sys.stdin:
        job = json.loads(line)
        started = time.perf_counter()
        found: list[Any] = list(generate(job["ids"], job["count"]))
        first, last = found[0][1], found[-1][1]
        rate = (len(found) - 1) / (last - first) if last > first else 0.0
        result = {"prefill_s": first - started, "decode_tokens_per_s": rate, "tokens": [token for token, _ in found]}
        out.write(json.dumps(result) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
