"""Tool calls in K2's form, taken out of a stream."""

import pytest

from engine.tool_calls import ToolCall, ToolCallSplitter

ANSWER = (
    "Let me look.<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>"
    '{"city": "Paris"}<|tool_call_end|><|tool_call_begin|>run:1<|tool_call_argument_begin|>{}<|tool_call_end|>'
    "<|tool_calls_section_end|>"
)


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_calls_are_found_however_the_text_is_cut(size: int) -> None:
    splitter = ToolCallSplitter()
    content = "".join(splitter.feed(ANSWER[start:start + size]) for start in range(0, len(ANSWER), size))
    rest, calls = splitter.finish()
    assert content + rest == "Let me look."
    assert calls == [ToolCall(id="functions.get_weather:0", name="get_weather", arguments='{"city": "Paris"}'),
                     ToolCall(id="run:1", name="run", arguments="{}")]


def test_text_that_only_begins_like_a_call_comes_out() -> None:
    splitter = ToolCallSplitter()
    content = splitter.feed("a <|tool_calls")
    assert content == "a "
    assert splitter.finish() == ("<|tool_calls", [])


def test_an_unfinished_call_is_none() -> None:
    splitter = ToolCallSplitter()
    splitter.feed(ANSWER[:100])
    assert splitter.finish() == ("", [])
