"""`python -m engine generate` and `trace`: JSON, files, traces, errors."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from engine.__main__ import main
from engine.trace import RoutingTrace
from tests.tiny_model import make_tiny_checkpoint

Run = Callable[..., "CompletedProcess[str]"]


def test_generate_answers_turns_and_writes_a_trace(run_cli: Run, tiny_folder: Path, tmp_path: Path) -> None:
    arguments = ("generate", "--model", str(tiny_folder), "--prompt", "snow", "--prompt", "more", "--seed", "3",
                 "--temperature", "0.8", "--max-tokens", "8", "--out", str(tmp_path / "out"), "--json")
    done = run_cli(*arguments, "--trace", str(tmp_path / "a.moetrace"))
    assert done.returncode == 0, done.stderr
    turns = json.loads(done.stdout)["turns"]
    assert len(turns) == 2
    assert set(turns[0]) >= {"text", "files", "rejects", "prompt_tokens", "completion_tokens", "timings"}
    assert turns[0]["completion_tokens"] == 8
    assert turns[1]["prompt_tokens"] > turns[0]["prompt_tokens"] + 8
    assert turns[1]["timings"]["cached_tokens"] > 0
    trace = RoutingTrace.load(tmp_path / "a.moetrace")
    assert len(trace) == turns[1]["prompt_tokens"] + 8
    assert trace.model["id"] == "tiny"
    assert trace.fingerprint
    assert json.loads(run_cli(*arguments).stdout)["turns"][1]["text"] == turns[1]["text"]


def run_here(*arguments: str) -> tuple[int, str]:
    """Run a command in this process, which saves the start of another; give exit code and standard output."""
    out = io.StringIO()
    return main([*arguments], out=out), out.getvalue()


def test_generate_without_json_prints_the_text(tiny_folder: Path) -> None:
    arguments = ("generate", "--model", str(tiny_folder), "--prompt", "snow", "--max-tokens", "4", "--seed", "1")
    _, text = run_here(*arguments)
    code, described = run_here(*arguments, "--json")
    assert code == 0
    assert text == json.loads(described)["turns"][0]["text"] + "\n"


def test_trace_without_a_tokenizer_gives_logits_and_experts(tmp_path: Path) -> None:
    bare = make_tiny_checkpoint(tmp_path / "bare", with_tokenizer=False)
    out = tmp_path / "a.moetrace"
    code, described = run_here("trace", "--model", str(bare), "--tokens", "5,6,7,8", "--out", str(out), "--json")
    assert code == 0
    result = json.loads(described)
    assert len(result["top_logits"]) == 10
    logits = [logit for _, logit in result["top_logits"]]
    assert logits == sorted(logits, reverse=True)
    trace = RoutingTrace.load(out)
    assert list(result["experts"]) == ["1", "2"]
    assert np.array_equal(np.array(result["experts"]["2"]), trace.ids[:, 1])
    assert [token.id for token in trace.tokens] == [5, 6, 7, 8]
    assert trace.biased is not None


def test_trace_of_text_uses_the_tokenizer(tiny_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.moetrace"
    assert run_here("trace", "--model", str(tiny_folder), "--prompt", "snowy 日", "--out", str(out)) == (0, "")
    tokens = RoutingTrace.load(out).tokens
    assert tokens[0].start == 0
    assert tokens[-1].end == len("snowy 日")


def test_statistics_of_a_file_are_those_after_the_forward_pass(tiny_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.moetrace"
    asked = ("trace", "--model", str(tiny_folder), "--prompt", "snowy mountains")
    code, described = run_here(*asked, "--out", str(out), "--stats", "--json")
    assert code == 0
    statistics = json.loads(described)["stats"]
    assert json.loads(run_here("trace", str(out), "--stats", "--json")[1])["stats"] == statistics
    assert statistics["sample"]["prompt_tokens"] == len(RoutingTrace.load(out))
    assert [layer["layer"] for layer in statistics["usage"]["layers"]] == [1, 2]
    assert sum(statistics["usage"]["layers"][0]["load"]) == 2 * len(RoutingTrace.load(out))
    assert "max/mean" in run_here("trace", str(out), "--stats")[1]


def test_what_other_engines_recorded_becomes_a_trace(tiny_folder: Path, tmp_path: Path) -> None:
    ids = np.stack([np.random.default_rng(0).permuted(np.arange(8))[:2] for _ in range(40)]).reshape(20, 2, 2)
    (tmp_path / "a.bin").write_bytes(ids.astype("<i4").tobytes())
    code, described = run_here("trace", str(tmp_path / "a.bin"), "--config", str(tiny_folder / "config.json"),
                               "--out", str(tmp_path / "a.moetrace"), "--json")
    assert code == 0
    assert json.loads(described)["source"] == "SGLang (int32)"
    assert np.array_equal(RoutingTrace.load(tmp_path / "a.moetrace").ids, ids)


@pytest.mark.parametrize(("arguments", "words"), [
    (("trace", "--model", "MODEL", "--tokens", "1"), "Nothing to do"),
    (("trace", "MODEL/model.safetensors", "--stats"), "no routing trace"),
    (("trace", "MODEL/config.json", "--stats"), "--config"),
    (("trace", "--model", "MODEL", "--tokens", "1,99999", "--out", "OUT"), "vocabulary"),
    (("trace", "--model", "NOTHING", "--tokens", "1", "--out", "OUT"), "config.json"),
    (("trace", "--model", "MODEL", "--tokens", ",".join(["1"] * 600), "--out", "OUT"), "512"),
    (("trace", "--model", "MODEL", "--tokens", "1", "--out", "NOTHING/deep/a.moetrace"), "No such file"),
    (("generate", "--model", "MODEL", "--prompt", "x " * 3000), "512"),
    (("generate", "--model", "NOTHING", "--prompt", "x"), "config.json"),
    (("generate", "--model", "MODEL", "--prompt", "x", "--temperature", "-2"), "temperature"),
    (("generate", "--model", "MODEL", "--prompt", "x", "--device", "abacus"), "abacus"),
])
def test_what_goes_wrong_is_said_in_json_and_on_standard_error(
        capsys: pytest.CaptureFixture[str], tiny_folder: Path, tmp_path: Path, arguments: tuple[str, ...],
        words: str) -> None:
    places = {"MODEL": str(tiny_folder), "OUT": str(tmp_path / "a.moetrace"), "NOTHING": str(tmp_path / "nothing")}
    filled = [argument.replace("NOTHING", places["NOTHING"]) if argument.startswith("NOTHING") else
              places.get(argument, argument.replace("MODEL/", f"{tiny_folder}/")) for argument in arguments]
    code, described = run_here(*filled, "--json")
    assert code == 1
    assert words in json.loads(described)["error"]["message"]
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [("generate",), ("trace", "--tokens", "a,b", "--out", "x"), ("fly",), ()])
def test_wrong_usage_exits_with_2(arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        run_here(*arguments)
    assert ended.value.code == 2
