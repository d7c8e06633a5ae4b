"""Specialisation: by hand, nothing in random or merely lumpy routing, and planted specialists are found."""

import numpy as np
import pytest

from engine.specialisation import NO_CLASS, labels_of_next, specialisation
from tests.engine.routing_samples import in_runs, plant, random_ids, trace_of

CLASSES = ("number", "name", "string")


def test_a_cell_by_hand() -> None:
    ids = np.array([0, 0, 0, 1, 1, 0, 1, 1])[:, None, None]
    labels = np.array([0, 0, 0, 0, 1, 1, 1, NO_CLASS], np.int8)
    table = specialisation(trace_of(ids, 2), labels, CLASSES)
    use = table.use(0, 0, 0)
    assert (use.count, use.of, use.share, use.elsewhere) == (3, 4, 0.75, pytest.approx(1 / 3))
    assert use.log_odds == pytest.approx(np.log(3.5 * 2.5 / (1.5 * 1.5)))
    assert use.high - use.log_odds == pytest.approx(1.96 * np.sqrt(1 / 3.5 + 1 / 2.5 + 2 / 1.5))
    assert (table.num_tokens, table.unclassified, table.class_tokens.tolist()) == (7, 1, [4, 3, 0])
    assert use.p is None  # seven tokens are no evidence
    assert table.claims() == []


@pytest.mark.parametrize("seed", range(6))
def test_random_routing_shows_nothing(seed: int) -> None:
    labels = in_runs(1500, 3, 3, seed + 100).astype(np.int8)
    table = specialisation(trace_of(random_ids(1500, seed=seed), 16), labels, CLASSES, seed=seed)
    assert table.comparisons == 2 * 16 * 3
    assert table.claims() == []


def test_routing_and_classes_that_both_come_in_runs_make_few_false_claims() -> None:
    false = 0
    for seed in range(20):
        ids = (in_runs(1200, 25, 8, seed)[:, None] + np.arange(2)) % 8
        labels = in_runs(1200, 20, 3, seed + 50).astype(np.int8)
        false += bool(specialisation(trace_of(ids[:, None], 8), labels, CLASSES).claims())
    assert false <= 3


def test_planted_specialists_are_found_and_only_they() -> None:
    ids = random_ids(1500, seed=1)
    labels = in_runs(1500, 2, 3, 7).astype(np.int8)
    takes = (labels == 0) & (np.random.default_rng(3).random(1500) < 0.5)
    plant(ids, np.flatnonzero(takes), 1, 5)
    claims = specialisation(trace_of(ids, 16), labels, CLASSES).claims()
    assert [(claim.layer, claim.expert, claim.token_class) for claim in claims] == [(2, 5, "number")]
    assert claims[0].share > 2 * claims[0].elsewhere
    assert claims[0].low > 0
    assert claims[0].is_claim


def test_one_run_of_a_class_is_one_observation() -> None:
    ids = random_ids(600, layers=1, seed=2)
    labels = np.zeros(600, np.int8)
    labels[200:300] = 1
    plant(ids, slice(150, 350), 0, 9)
    plant(ids, slice(450, 550), 0, 9)
    table = specialisation(trace_of(ids, 16), labels, CLASSES)
    assert table.log_odds[0, 9, 1] > 1
    assert table.use(0, 9, 1).p is not None
    assert not table.use(0, 9, 1).is_claim


def test_the_same_seed_gives_the_same_table_and_json_holds_the_claims() -> None:
    ids, labels = random_ids(300), in_runs(300, 2, 3, 1).astype(np.int8)
    plant(ids, np.flatnonzero(labels == 2), 0, 1)
    first, second = (specialisation(trace_of(ids, 16), labels, CLASSES) for _ in range(2))
    assert np.array_equal(first.p, second.p, equal_nan=True)
    assert first.as_json()["claims"][0]["token_class"] == "string"
    assert first.expert(0, 1)[0].token_class == "string"


def test_an_expert_named_twice_for_one_token_is_no_crash() -> None:
    ids = np.zeros((100, 1, 2), np.int64)
    labels = in_runs(100, 2, 3, 1).astype(np.int8)
    assert np.isfinite(specialisation(trace_of(ids, 4), labels, CLASSES).log_odds).all()


def test_the_class_of_the_next_token_is_one_row_earlier() -> None:
    assert labels_of_next(np.array([2, 0, 1], np.int8)).tolist() == [0, 1, NO_CLASS]
    assert labels_of_next(np.zeros(0, np.int8)).tolist() == []
