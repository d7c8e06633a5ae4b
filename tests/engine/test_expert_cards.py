"""An expert's card: typical tokens before frequent ones, in context, over several traces."""

import numpy as np

from engine.expert_cards import expert_card
from tests.engine.routing_samples import trace_of


def test_typical_tokens_come_before_frequent_ones_with_their_context() -> None:
    texts = ["let ", "a", " = ", "42", "; "] * 10
    ids = np.array([[[0 if text == "42" or (text == "a" and row % 3 == 0) else 1]] for row, text in enumerate(texts)])
    card = expert_card([trace_of(ids, 4, texts=texts)] * 2, 1, 0)
    assert [(use.text, use.count, use.of) for use in card.uses] == [("42", 20, 20), ("a", 6, 20)]
    assert (card.traces, card.tokens, card.chosen) == (2, 100, 26)
    first = card.uses[0].contexts[0]
    assert (first.before, first.text, first.after) == ("let a = ", "42", "; let a = 42; ")
    assert len(card.uses[0].contexts) == 3
    assert card.uses[0].deviations > 5


def test_other_models_are_passed_over() -> None:
    trace = trace_of(np.zeros((3, 1, 1), np.int64), 2)
    assert expert_card([trace], 7, 0).traces == 0
    assert expert_card([trace], 1, 5).traces == 0
    assert expert_card([], 1, 0).uses == ()
