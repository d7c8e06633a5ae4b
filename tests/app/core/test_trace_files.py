"""Which trace files belong to a model's answers."""

from pathlib import Path

from app.core.history import History
from app.core.records import AnswerOrigin, AnswerOutcome


def test_trace_files_of_one_model_without_deleted_chats(tmp_path: Path) -> None:
    history = History(tmp_path / "history.sqlite")
    ids = []
    for number, fingerprint in enumerate(("a", "a", "b", "a")):
        conversation = history.create_conversation()
        request = history.add_request(conversation.id, None, "ask")
        answer = history.begin_answer(conversation.id, request.id, AnswerOrigin(fingerprint=fingerprint))
        history.finish_answer(answer.id, AnswerOutcome(text="", state="complete", trace_file=f"{number}.moetrace"))
        ids.append(conversation.id)
    history.delete(ids[3])
    assert history.trace_files("a") == ["1.moetrace", "0.moetrace"]
    assert history.trace_files("c") == []
    history.close()
