"""Events come out whole, however the bytes are cut."""

from hypothesis import given
from hypothesis import strategies as st

from app.core.sse import SseParser


def test_events_of_a_stream():
    parser = SseParser()
    raw = b": comment\n\ndata: one\n\nevent: x\ndata:two\ndata: lines\n\ndata: rest"
    assert parser.feed(raw) == ["one", "two\nlines"]
    assert parser.finish() == ["rest"]
    assert parser.finish() == []


@given(st.lists(st.text(alphabet="aü😀 {}:", min_size=1), max_size=5), st.sampled_from(["\n", "\r\n", "\r"]), st.data())
def test_any_cut_gives_the_same_events(texts, newline, data):
    raw = "".join(f"data: {text}{newline}{newline}" for text in texts).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    parser = SseParser()
    events = []
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        events += parser.feed(raw[start:end])
    assert events + parser.finish() == texts
