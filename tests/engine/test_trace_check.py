"""The checks on imported routing: the flat copy of a strided view is caught, honest routing passes."""

import numpy as np

from engine.trace_check import check_trace, partition_share
from tests.engine.routing_samples import random_ids, trace_of


def verdicts(ids: np.ndarray, experts: int) -> dict[str, str]:
    return {finding.check: finding.verdict for finding in check_trace(trace_of(ids, experts))}


def flat_copy(num_tokens: int, experts: int, top_k: int, layers: int, begin: int = 0) -> np.ndarray:
    """What a flat copy of llama.cpp's ranking gives: [tokens, layers, K] cut out of whole rankings."""
    scores = np.random.default_rng(5).random((layers, num_tokens + experts, experts))
    rankings = np.argsort(-scores, axis=2).reshape(layers, -1)
    cut = rankings[:, begin * top_k:begin * top_k + num_tokens * top_k]
    return cut.reshape(layers, num_tokens, top_k).transpose(1, 0, 2)


def test_rankings_cut_in_pieces_are_caught_wherever_they_begin() -> None:
    for begin in (0, 3):
        ids = flat_copy(100, 16, 4, 2, begin)
        assert verdicts(ids, 16)["partition"] == "failed"
        text = next(finding.text for finding in check_trace(trace_of(ids, 16)) if finding.check == "partition")
        assert "ffn_moe_topk" in text
        assert "record it again" in text
    assert partition_share(flat_copy(100, 16, 4, 1)[:, 0].astype(np.uint16), 16) == (1.0, 25)


def test_random_and_skewed_routing_pass() -> None:
    assert verdicts(random_ids(600), 16) == {"partition": "passed", "distinct": "passed", "varied": "passed"}
    assert verdicts(random_ids(600, experts=4, top_k=2), 4)["partition"] == "passed"


def test_two_tokens_that_complement_each_other_are_no_proof() -> None:
    assert verdicts(np.array([[[0, 1]], [[2, 3]]]), 4)["partition"] == "passed"


def test_what_cannot_be_told_is_said() -> None:
    assert verdicts(random_ids(600, experts=10, top_k=3), 10)["partition"] == "unknown"
    assert verdicts(random_ids(3, experts=16, top_k=1), 16)["partition"] == "unknown"
    assert verdicts(random_ids(8), 16)["varied"] == "unknown"


def test_an_expert_named_twice_and_a_layer_that_never_changes() -> None:
    ids = random_ids(100)
    ids[7, 0, 0] = ids[7, 0, 1]
    ids[:, 1] = (0, 1, 2, 3)
    found = verdicts(ids, 16)
    assert (found["distinct"], found["varied"]) == ("failed", "failed")
