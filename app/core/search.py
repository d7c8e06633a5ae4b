"""Search over titles, messages and the code in them, by any part of a word, instant at any size.

Words of three characters and more use the trigram index. Shorter ones use the index's list of
trigrams: the texts that hold "ab" are those that hold a trigram which starts with it.
"""

import re
import sqlite3
from collections.abc import Sequence

from app.core.records import Hit

_MAX_TITLE_HITS = 20
_MAX_SHORT_TRIGRAMS = 150
_SNIPPET_BEFORE_CHARS = 32
_SNIPPET_CHARS = 120
# Newest first; the candidates of one query are bounded, so that filtering them stays instant.
_MAX_CANDIDATES = 2000


def search(database: sqlite3.Connection, query: str, *, limit: int) -> list[Hit]:
    """Every word of `query` must occur (a "quoted part" as one word); case does not matter."""
    words = split_query(query)
    if not words:
        return []
    titles = _search_titles(database, words, min(limit, _MAX_TITLE_HITS))
    return titles + _search_messages(database, words, limit - len(titles))


def split_query(query: str) -> list[str]:
    """Words and quoted parts, casefolded."""
    parts = re.findall(r'"([^"]+)"|(\S+)', query)
    return [word for quoted, bare in parts if (word := (quoted or bare).strip('"').casefold())]


def _search_titles(database: sqlite3.Connection, words: Sequence[str], limit: int) -> list[Hit]:
    conditions = " AND ".join("instr(casefold(title), ?)" for _ in words)
    rows = database.execute(
        f"SELECT id, title, updated_at FROM conversation WHERE deleted_at IS NULL AND {conditions}"  # noqa: S608
        " ORDER BY updated_at DESC LIMIT ?",
        [*words, limit],
    )
    return [
        _hit(row["id"], None, row["title"], None, row["title"], words, row["updated_at"]) for row in rows
    ]


def _search_messages(database: sqlite3.Connection, words: Sequence[str], limit: int) -> list[Hit]:
    expression = _index_expression(database, words)
    if expression == "":
        return []
    source = "message_fts AS found JOIN message ON message.id = found.rowid"
    where, values = "found.text MATCH ?", [expression]
    if expression is None:
        source, where, values = "message", "message.state <> 'writing'", []
    remaining = [word for word in words if len(word) < 3 or expression is None]
    conditions = "".join(" AND instr(casefold(message.text), ?)" for _ in remaining)
    order = "found.rowid" if expression is not None else "message.id"
    rows = database.execute(
        "SELECT message.id, conversation_id, role, text, message.created_at, title FROM"  # noqa: S608
        f" (SELECT message.* FROM {source} WHERE {where} ORDER BY {order} DESC LIMIT {_MAX_CANDIDATES}) AS message"
        " JOIN conversation ON conversation.id = conversation_id"
        f" WHERE deleted_at IS NULL{conditions} ORDER BY message.id DESC LIMIT ?",
        [*values, *remaining, limit],
    )
    return [
        _hit(row["conversation_id"], row["id"], row["title"], row["role"], row["text"], words, row["created_at"])
        for row in rows
    ]


def _index_expression(database: sqlite3.Connection, words: Sequence[str]) -> str | None:
    """What to ask the index; "" when nothing can match, None when the newest texts are scanned instead."""
    long_words = [word for word in words if len(word) >= 3]
    if long_words:
        return " AND ".join(_quoted(word) for word in long_words)
    trigrams = _trigrams_with(database, max(words, key=len))
    # A pair of characters in so many trigrams is in so many texts that the newest ones suffice.
    if len(trigrams) > _MAX_SHORT_TRIGRAMS:
        return None
    return " OR ".join(_quoted(trigram) for trigram in trigrams)


def _trigrams_with(database: sqlite3.Connection, start: str) -> list[str]:
    rows = database.execute(
        "SELECT term FROM message_trigrams WHERE term >= ? AND term < ? LIMIT ?",
        (start, start + chr(0x10FFFF), _MAX_SHORT_TRIGRAMS + 1),
    )
    return [row["term"] for row in rows]


def _quoted(word: str) -> str:
    return '"' + word.replace('"', '""') + '"'


def _hit(
    conversation_id: int,
    message_id: int | None,
    title: str,
    role: str | None,
    text: str,
    words: Sequence[str],
    created_at: float,
) -> Hit:
    snippet, start, length = snippet_of(text, words)
    assert role in (None, "user", "assistant")
    return Hit(
        conversation_id=conversation_id,
        message_id=message_id,
        title=title,
        role=role,  # type: ignore[arg-type]
        snippet=snippet,
        match_start=start,
        match_length=length,
        created_at=created_at,
    )


def snippet_of(text: str, words: Sequence[str]) -> tuple[str, int, int]:
    """One line around the first match, with the match's start and length in it (code points)."""
    # Lower case keeps offsets for all but a few letters; those few only shift the mark.
    lowered = text.lower()
    phrase = " ".join(words)
    found, length = lowered.find(phrase), len(phrase)
    if found < 0:
        found, length = min(
            ((at, len(word)) for word in words if (at := lowered.find(word)) >= 0), default=(0, 0)
        )
    begin = max(0, found - _SNIPPET_BEFORE_CHARS)
    lead = "…" if begin else ""
    piece = re.sub(r"\s", " ", text[begin : begin + _SNIPPET_CHARS])
    tail = "…" if begin + _SNIPPET_CHARS < len(text) else ""
    return lead + piece + tail, found - begin + len(lead), length
