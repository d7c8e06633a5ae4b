"""GGUF export: what the `gguf` package reads back, what is refused, and what an installed llama.cpp makes of it."""

import ctypes
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from engine.__main__ import MODEL_IN_THE_BOX, main
from engine.config import ModelConfig, YarnScaling
from engine.models.k2.model import K2Model
from engine.tokenizer import load_tokenizer
from engine.train.tokenizer import CHAT_TEMPLATE, save_tokenizer, train_tokenizer
from engine.weights.gguf import FileType, export_gguf
from engine.weights.load import load_model
from engine.weights.names import slots
from engine.weights.save import Storage
from tests.engine.models.k2_configs import CONFIGS, K2_YARN, random_model, random_tokens, save_model
from tests.tiny_model import TEXTS

VOCAB_SIZE = 300
EXPORTED = ["base", "no q_lora", "groups", "weights not renormalised", "two shared experts", "two dense layers",
            "all layers route", "tied", "yarn as K2", "odd latent", "kimi_k2"]
CODE = ["const scene = new THREE.Scene();\n", "function animate() { requestAnimationFrame(animate); }\n",
        "  for (let index = 0; index < count; index++) {\n"]
SAMPLES = (*TEXTS, "x = 3.14159 * r ** 2;  // 2024\n\n\n    if (a) {\n\treturn 'ça va 日本 ½';\n    }\r\n  ",
           "<|im_user|>user<|im_middle|>snow<|im_end|><|im_assistant|>")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    torch.set_num_threads(1)
    return train_tokenizer(TEXTS * 4, VOCAB_SIZE, code=CODE * 9)


def config_of(name: str) -> ModelConfig:
    return replace(CONFIGS[name], vocab_size=VOCAB_SIZE, bos_token_id=1, eos_token_ids=(2,), pad_token_id=0)


def save(folder: Path, config: ModelConfig, tokenizer: Tokenizer, storage: Storage = "float32") -> K2Model:
    model = random_model(config)
    save_model(model, folder, storage=storage)
    save_tokenizer(tokenizer, folder, config.max_position)
    return model


def fields_of(file: Path) -> dict[str, Any]:
    return {name: field.contents() for name, field in gguf.GGUFReader(file).fields.items()}


def tensors_of(file: Path) -> dict[str, np.ndarray]:
    return {each.name: gguf.quants.dequantize(each.data, each.tensor_type).reshape(each.shape[::-1])
            for each in gguf.GGUFReader(file).tensors}


def expected_tensors(model: K2Model) -> Iterator[tuple[str, torch.Tensor]]:
    """Names by the gguf package's own table, so that ours is checked and not repeated."""
    config = model.config
    names = gguf.TensorNameMap(gguf.MODEL_ARCH.DEEPSEEK2, config.num_layers)
    tensors = dict(slots(model))
    for name, tensor in tensors.items():
        if name.endswith("kv_b_proj.weight"):
            per_head = tensor.view(config.num_heads, -1, config.kv_lora_rank)
            prefix = name.removesuffix("kv_b_proj.weight")
            yield f"{names.get_name(prefix + 'k_b_proj')}.weight", per_head[:, :config.nope_head_dim].transpose(1, 2)
            yield f"{names.get_name(prefix + 'v_b_proj')}.weight", per_head[:, config.nope_head_dim:]
        elif ".experts.0." in name:
            stacked = torch.stack([tensors[name.replace(".experts.0.", f".experts.{e}.")]
                                   for e in range(config.num_experts)])
            yield f"{names.get_name(name.replace('.experts.0.', '.experts.').removesuffix('.weight'))}.weight", stacked
        elif name.endswith("e_score_correction_bias"):
            yield f"{names.get_name(name.removesuffix('_bias'))}.bias", tensor
        elif ".experts." not in name:
            yield f"{names.get_name(name.removesuffix('.weight'))}.weight", tensor


@pytest.mark.parametrize("name", EXPORTED)
def test_every_tensor_is_written_where_llama_cpp_looks(tmp_path: Path, tokenizer: Tokenizer, name: str) -> None:
    model = save(tmp_path, config_of(name), tokenizer)
    report = export_gguf(tmp_path, tmp_path / "model.gguf")
    written, expected = tensors_of(tmp_path / "model.gguf"), dict(expected_tensors(model))
    assert written.keys() == expected.keys()
    assert report.num_tensors == len(expected)
    for key, tensor in expected.items():
        assert np.array_equal(written[key], tensor.numpy()), key


def test_metadata_describes_the_architecture(tmp_path: Path, tokenizer: Tokenizer) -> None:
    config = replace(config_of("groups"), yarn=K2_YARN, rope_theta=50000.0)
    save(tmp_path, config, tokenizer)
    (tmp_path / "generation_config.json").write_text('{"temperature": 0.25}')
    export_gguf(tmp_path, tmp_path / "model.gguf")
    fields = fields_of(tmp_path / "model.gguf")
    expected = {
        "general.architecture": "deepseek2", "general.name": tmp_path.name, "general.file_type": 0,
        "general.sampling.temp": 0.25, "deepseek2.vocab_size": VOCAB_SIZE, "deepseek2.context_length": 600,
        "deepseek2.embedding_length": 48, "deepseek2.block_count": 3, "deepseek2.feed_forward_length": 80,
        "deepseek2.leading_dense_block_count": 1, "deepseek2.expert_count": 12, "deepseek2.expert_used_count": 4,
        "deepseek2.expert_shared_count": 1, "deepseek2.expert_feed_forward_length": 24,
        "deepseek2.expert_weights_scale": 2.5, "deepseek2.expert_weights_norm": True,
        "deepseek2.expert_gating_func": 2, "deepseek2.expert_group_count": 4, "deepseek2.expert_group_used_count": 2,
        "deepseek2.attention.head_count": 3, "deepseek2.attention.head_count_kv": 1,
        "deepseek2.attention.q_lora_rank": 20, "deepseek2.attention.kv_lora_rank": 16,
        "deepseek2.attention.key_length": 24, "deepseek2.attention.value_length": 16,
        "deepseek2.attention.key_length_mla": 18, "deepseek2.attention.value_length_mla": 14,
        "deepseek2.attention.layer_norm_rms_epsilon": np.float32(1e-6), "deepseek2.rope.dimension_count": 8,
        "deepseek2.rope.freq_base": 50000.0, "deepseek2.rope.scaling.type": "yarn",
        "deepseek2.rope.scaling.factor": 32.0, "deepseek2.rope.scaling.original_context_length": 64,
        "deepseek2.rope.scaling.yarn_beta_fast": 1.0, "deepseek2.rope.scaling.yarn_beta_slow": 1.0,
        "deepseek2.rope.scaling.yarn_log_multiplier": np.float32(0.1),
    }
    assert {key: fields.get(key) for key in expected} == expected


def test_the_tokenizer_travels_along(tmp_path: Path, tokenizer: Tokenizer) -> None:
    save(tmp_path, config_of("base"), tokenizer)
    assert export_gguf(tmp_path, tmp_path / "model.gguf").split == "superbpe"
    fields = fields_of(tmp_path / "model.gguf")
    assert fields["tokenizer.ggml.model"] == "gpt2"
    assert fields["tokenizer.ggml.pre"] == "superbpe"
    assert fields["tokenizer.ggml.tokens"] == [tokenizer.id_to_token(index) for index in range(VOCAB_SIZE)]
    assert fields["tokenizer.ggml.token_type"][:14] == [3] * 12 + [1, 1]
    stored = json.loads(tokenizer.to_str())["model"]["merges"]
    assert fields["tokenizer.ggml.merges"] == [" ".join(pair) for pair in stored]
    assert [fields[f"tokenizer.ggml.{name}_token_id"] for name in ("bos", "eos", "padding")] == [1, 2, 0]
    assert fields["tokenizer.ggml.add_bos_token"] is False
    assert fields["tokenizer.chat_template"] == CHAT_TEMPLATE


@pytest.mark.parametrize(("file_type", "tolerance"), [("f32", 0.0), ("f16", 5e-4), ("bf16", 4e-3), ("q8_0", 5e-3)])
def test_types_store_fp8_weights_as_closely_as_they_can(tmp_path: Path, tokenizer: Tokenizer, file_type: FileType,
                                                        tolerance: float) -> None:
    config = replace(config_of("base"), hidden_size=64, num_heads=2, expert_width=32, dense_width=96, nope_head_dim=32,
                     kv_lora_rank=32, value_head_dim=32, q_lora_rank=32, rope_head_dim=32)
    save(tmp_path, config, tokenizer, storage="fp8")
    export_gguf(tmp_path, tmp_path / "model.gguf", file_type=file_type)
    written = tensors_of(tmp_path / "model.gguf")
    exact = load_model(tmp_path, device=torch.device("cpu"))
    for key, tensor in expected_tensors(exact.model._model):  # type: ignore[attr-defined]
        loose = 0.0 if tensor.ndim == 1 or "gate_inp" in key else tolerance
        assert np.abs(written[key] - tensor.numpy()).max() <= loose * tensor.abs().max(), key
    sizes = {each.name: each.tensor_type.name for each in gguf.GGUFReader(tmp_path / "model.gguf").tensors}
    assert sizes["blk.1.ffn_up_exps.weight"] == file_type.upper()
    assert sizes["blk.1.ffn_gate_inp.weight"] == sizes["output_norm.weight"] == "F32"


def test_rows_that_fill_no_block_are_stored_as_float16(tmp_path: Path, tokenizer: Tokenizer) -> None:
    save(tmp_path, config_of("base"), tokenizer)
    export_gguf(tmp_path, tmp_path / "model.gguf", file_type="q8_0")
    types = {each.name: each.tensor_type.name for each in gguf.GGUFReader(tmp_path / "model.gguf").tensors}
    assert types["blk.0.ffn_down.weight"] == "F16"


@pytest.mark.parametrize("change", [
    {"num_shared_experts": 0}, {"yarn": YarnScaling(factor=4.0, original_max_position=150)},
    {"yarn": YarnScaling(factor=8.0, original_max_position=75, mscale=0.7, mscale_all_dim=1.3)},
])
def test_what_llama_cpp_computes_otherwise_is_refused(tmp_path: Path, tokenizer: Tokenizer,
                                                      change: dict[str, Any]) -> None:
    save(tmp_path, replace(config_of("base"), **change), tokenizer)
    with pytest.raises(ValueError, match=r"can't be exported; run it here"):
        export_gguf(tmp_path, tmp_path / "model.gguf")
    assert not list(tmp_path.glob("*.gguf*"))


def change_tokenizer(folder: Path, old: str, new: str) -> None:
    path = folder / "tokenizer.json"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_an_unknown_split_is_refused(tmp_path: Path, tokenizer: Tokenizer) -> None:
    save(tmp_path, config_of("base"), tokenizer)
    change_tokenizer(tmp_path, r"\\p{N}|", r"\\p{N}{1,3}|")
    with pytest.raises(ValueError, match=r"no name for .*p\{N\}\{1,3\}.* Known are qwen2 .*superbpe"):
        export_gguf(tmp_path, tmp_path / "model.gguf")


@pytest.mark.parametrize("token", ["\u0120x1", "\u010ax"])  # " x1" and a line end with something behind it
def test_tokens_that_superbpe_would_not_keep_apart_are_refused(tmp_path: Path, tokenizer: Tokenizer,
                                                              token: str) -> None:
    save(tmp_path, config_of("base"), tokenizer)
    values = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
    last = max(values["model"]["vocab"], key=values["model"]["vocab"].get)
    values["model"]["vocab"][token] = values["model"]["vocab"].pop(last)
    (tmp_path / "tokenizer.json").write_text(json.dumps(values), "utf-8")
    with pytest.raises(ValueError, match="would read text differently"):
        export_gguf(tmp_path, tmp_path / "model.gguf")


def test_a_checkpoint_without_tokenizer_or_with_a_larger_one_is_refused(tmp_path: Path, tokenizer: Tokenizer) -> None:
    save(tmp_path, replace(config_of("base"), vocab_size=VOCAB_SIZE - 1), tokenizer)
    with pytest.raises(ValueError, match=r"token 299, and config\.json a vocabulary of 299"):
        export_gguf(tmp_path, tmp_path / "model.gguf")
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=r"holds no tokenizer\.json"):
        export_gguf(tmp_path, tmp_path / "model.gguf")


def test_a_damaged_checkpoint_leaves_the_old_file(tmp_path: Path, tokenizer: Tokenizer) -> None:
    model = random_model(config_of("base"))
    dict(slots(model))["model.layers.2.self_attn.o_proj.weight"][0, 0] = torch.nan
    save_model(model, tmp_path, storage="float32")
    save_tokenizer(tokenizer, tmp_path, 600)
    (tmp_path / "model.gguf").write_text("old")
    with pytest.raises(ValueError, match="NaN"):
        export_gguf(tmp_path, tmp_path / "model.gguf")
    assert [file.read_text() for file in tmp_path.glob("*.gguf*")] == ["old"]


def test_the_command_says_what_it_wrote(tmp_path: Path, tokenizer: Tokenizer) -> None:
    save(tmp_path, config_of("base"), tokenizer)
    out = io.StringIO()
    file = tmp_path / "exports" / "model.gguf"
    assert main(["export", "--model", str(tmp_path), "--gguf", str(file), "--type", "bf16", "--json"], out=out) == 0
    report = json.loads(out.getvalue())
    assert report == {"file": str(file), "num_bytes": file.stat().st_size, "num_tensors": report["num_tensors"],
                      "file_type": "bf16", "split": "superbpe"}
    assert report["num_tensors"] == len(gguf.GGUFReader(file).tensors)


# What llama.cpp itself makes of the file


def open_llama(file: Path, **options: Any) -> Any:
    llama_cpp = pytest.importorskip("llama_cpp")
    # A cache in float32, as ours: with its default of float16 near ties would flip.
    exact = llama_cpp.GGML_TYPE_F32
    return llama_cpp.Llama(str(file), n_ctx=1024, n_threads=1, n_threads_batch=1, type_k=exact, type_v=exact,
                           verbose=False, **options)


def read_text(llama: Any, text: str) -> list[int]:
    return list(llama.tokenize(text.encode(), add_bos=False, special=True))


def piece_of(llama: Any, token: int) -> str:
    """A token's text from llama.cpp itself: its Python wrapper has room for 32 bytes and drops longer phrases."""
    llama_cpp = pytest.importorskip("llama_cpp")
    room = ctypes.create_string_buffer(256)
    size = llama_cpp.llama_token_to_piece(llama._model.vocab, token, room, len(room), 0, True)
    return room.raw[:size].decode()


@pytest.mark.parametrize("name", EXPORTED)
def test_llama_cpp_computes_the_same_logits(tmp_path: Path, tokenizer: Tokenizer, name: str) -> None:
    config = config_of(name)
    save(tmp_path, config, tokenizer)
    export_gguf(tmp_path, tmp_path / "model.gguf")
    llama = open_llama(tmp_path / "model.gguf", logits_all=True)
    tokens = random_tokens(config, 100)
    llama.eval(tokens)
    ours = load_model(tmp_path, device=torch.device("cpu")).model
    expected = ours.prefill(tokens, ours.new_cache(), all_logits=True).logits.numpy()
    assert np.abs(llama.scores[:len(tokens)] - expected).max() < 1e-3


def test_llama_cpp_reads_text_as_the_tokenizer_does(tmp_path: Path, tokenizer: Tokenizer) -> None:
    save(tmp_path, config_of("base"), tokenizer)
    export_gguf(tmp_path, tmp_path / "model.gguf")
    llama = open_llama(tmp_path / "model.gguf", vocab_only=True)
    for text in SAMPLES:
        assert read_text(llama, text) == tokenizer.encode(text, add_special_tokens=False).ids


@pytest.mark.skipif(not MODEL_IN_THE_BOX.is_dir(), reason="Nano is not trained")
def test_llama_cpp_writes_what_nano_writes(tmp_path: Path) -> None:
    export_gguf(MODEL_IN_THE_BOX, tmp_path / "nano.gguf")
    llama = open_llama(tmp_path / "nano.gguf", logits_all=True)
    nano = load_model(MODEL_IN_THE_BOX, device=torch.device("cpu")).model
    tokenizer = load_tokenizer(MODEL_IN_THE_BOX)
    messages = [{"role": "user", "content": "a snowy mountain scene at night"}]
    prompt = tokenizer.render_chat(messages)
    assert read_text(llama, prompt.text) == list(prompt.ids)
    cache = nano.new_cache()
    logits = nano.prefill(prompt.ids, cache).logits[-1]
    llama.eval(prompt.ids)
    theirs = torch.from_numpy(llama.scores[len(prompt.ids) - 1].copy())
    assert theirs.topk(5).indices.tolist() == logits.topk(5).indices.tolist()
    torch.testing.assert_close(theirs, logits, atol=1e-3, rtol=0)
    written: list[int] = []
    while len(written) < 300 and (token := int(logits.argmax())) != tokenizer.end_id:
        written.append(token)
        logits = nano.decode([token], [cache]).logits[0]
    llama.reset()
    theirs_written = list(islice(llama.generate(prompt.ids, temp=0.0), len(written)))
    assert theirs_written == written
    assert "".join(piece_of(llama, token) for token in theirs_written) == tokenizer.decode(written)
