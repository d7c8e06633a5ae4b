"""Loading checkpoints: every storage and layout gives the same model, and damaged ones are named with a way out."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import DeepseekV3ForCausalLM

from engine.models.k2.model import K2Model
from engine.weights.load import LoadedModel, load_model
from engine.weights.names import slots
from engine.weights.save import Storage
from tests.engine.models.k2_configs import BASE, K2_YARN, random_model, random_tokens, save_model

CPU = torch.device("cpu")
SAVED = "model.safetensors"
WIDE = replace(BASE, hidden_size=256, dense_width=384)  # several FP8 blocks in a matrix
TOKENS = random_tokens(BASE, 20)


@pytest.fixture(scope="module")
def model() -> K2Model:
    torch.set_num_threads(1)
    return random_model(BASE)


@pytest.fixture
def folder(model: K2Model, tmp_path: Path) -> Path:
    save_model(model, tmp_path, storage="float32")
    return tmp_path


def open_model(folder: Path, dtype: torch.dtype | None = None) -> LoadedModel:
    return load_model(folder, device=CPU, dtype=dtype)


def logits(loaded: LoadedModel) -> torch.Tensor:
    return loaded.model.prefill(TOKENS, loaded.model.new_cache(), all_logits=True).logits


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / SAVED)
    change(tensors)
    save_file(tensors, folder / SAVED, metadata={"format": "pt"})


def change_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def as_stored(model: K2Model, folder: Path) -> K2Model:
    """A twin of the model holding exactly what the file says, decoded the slow and plain way."""
    stored = load_file(folder / SAVED)
    twin = random_model(model.config, seed=9)
    for name, slot in slots(twin):
        value = stored[name].float()
        if stored[name].dtype == torch.float8_e4m3fn:
            scales = stored[name + "_scale_inv"].repeat_interleave(128, 0).repeat_interleave(128, 1)
            value *= scales[: len(value), : value.shape[1]]
        slot.copy_(value)
    return twin


@pytest.mark.parametrize("storage", ["float32", "float16", "bfloat16", "fp8"])
def test_every_storage_is_read_exactly(tmp_path: Path, storage: Storage) -> None:
    original = random_model(WIDE)
    save_model(original, tmp_path, storage=storage)
    with torch.no_grad():
        exact, expected = (each(torch.tensor(TOKENS)) for each in (original, as_stored(original, tmp_path)))
    torch.testing.assert_close(logits(open_model(tmp_path)), expected, atol=1e-5, rtol=0)
    assert torch.equal(exact, expected) == (storage == "float32")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_models_compute_in_half_precision_too(folder: Path, dtype: torch.dtype) -> None:
    exact, half = open_model(folder), open_model(folder, dtype)
    assert (logits(exact) - logits(half)).abs().mean() < 0.2
    cache = half.model.new_cache()
    prefill = half.model.prefill(TOKENS[:-1], cache)
    assert prefill.logits.dtype == torch.float32
    step = half.model.decode(TOKENS[-1:], [cache], capture="full")
    torch.testing.assert_close(step.logits, logits(half)[-1:], atol=0.3, rtol=0)
    assert half.dtype == dtype


def test_shards_give_the_same_model_and_fingerprint(model: K2Model, folder: Path, tmp_path: Path) -> None:
    sharded = tmp_path / "sharded"
    save_model(model, sharded, storage="float32", shard_bytes=50_000)
    assert len(list(sharded.glob("model-*-of-*.safetensors"))) > 3
    one, many = open_model(folder), open_model(sharded)
    assert torch.equal(logits(one), logits(many))
    assert one.fingerprint == many.fingerprint


def test_the_fingerprint_follows_weights_and_config(folder: Path) -> None:
    before = open_model(folder).fingerprint
    change_tensors(folder, lambda tensors: [tensor.mul_(1.001) for tensor in tensors.values()])
    changed = open_model(folder).fingerprint
    change_config(folder, routed_scaling_factor=1.0)
    assert len({before, changed, open_model(folder).fingerprint}) == 3


@pytest.mark.parametrize("storage", ["float32", "bfloat16"])
def test_transformers_reads_what_we_write(model: K2Model, tmp_path: Path, storage: Storage) -> None:
    save_model(model, tmp_path, storage=storage)
    theirs = DeepseekV3ForCausalLM.from_pretrained(tmp_path, dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        expected = theirs(torch.tensor([TOKENS]), use_cache=False).logits[0]
    torch.testing.assert_close(logits(open_model(tmp_path)), expected, atol=1e-4, rtol=0)


def test_we_read_what_transformers_writes(tmp_path: Path) -> None:
    config = replace(BASE, yarn=K2_YARN, tie_word_embeddings=True)
    save_model(random_model(config), tmp_path / "ours", storage="float32")
    theirs = DeepseekV3ForCausalLM.from_pretrained(tmp_path / "ours", attn_implementation="eager")
    theirs.save_pretrained(tmp_path / "theirs")
    assert "rope_parameters" in json.loads((tmp_path / "theirs" / "config.json").read_text())
    with torch.no_grad():
        expected = theirs(torch.tensor([TOKENS]), use_cache=False).logits[0]
    torch.testing.assert_close(logits(open_model(tmp_path / "theirs")), expected, atol=1e-4, rtol=0)


def test_tensors_of_other_parts_are_passed_over(folder: Path) -> None:
    before = logits(open_model(folder))
    change_tensors(folder, lambda tensors: tensors.update({"model.layers.3.eh_proj.weight": torch.zeros(2, 2)}))
    assert torch.equal(logits(open_model(folder)), before)


def test_progress_rises_to_one(folder: Path) -> None:
    told: list[tuple[float, str]] = []
    load_model(folder, device=CPU, progress=lambda fraction, message: told.append((fraction, message)))
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert len(fractions) > 10
    assert fractions[-1] == 1.0
    assert "embed_tokens" in told[0][1]


def test_a_truncated_file_is_named(folder: Path) -> None:
    path = folder / SAVED
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=r"model\.safetensors has .* promises .* Fetch the file again"):
        open_model(folder)


@pytest.mark.parametrize("content", [b"", b"12345", b"\xff" * 64, b"\x10" + bytes(7) + b"not json at all!",
                                     b"\x34" + bytes(7) + b'{"a": {"dtype": "F32", "shape": [1], "data_offsets":[0]}}',
                                     b"\x00\x80" + bytes(6) + b"[" * 0x8000])
def test_a_damaged_header_is_named(folder: Path, content: bytes) -> None:
    (folder / SAVED).write_bytes(content)
    with pytest.raises(ValueError, match=r"no readable safetensors file"):
        open_model(folder)


def test_a_header_that_contradicts_itself_is_named(folder: Path) -> None:
    path = folder / SAVED
    path.write_bytes(path.read_bytes().replace(b'"F32"', b'"F16"', 1))  # its byte range fits no more
    with pytest.raises(ValueError, match=r"cannot be read .* Fetch the file again"):
        open_model(folder)


def test_a_missing_shard_is_named(model: K2Model, tmp_path: Path) -> None:
    save_model(model, tmp_path, storage="float32", shard_bytes=50_000)
    gone = sorted(tmp_path.glob("model-*"))[1]
    gone.unlink()
    with pytest.raises(ValueError, match=rf"1 of \d+ shards are missing .*{gone.name}"):
        open_model(tmp_path)


def test_an_index_that_leaves_the_folder_is_refused(model: K2Model, tmp_path: Path) -> None:
    save_model(model, tmp_path, storage="float32", shard_bytes=50_000)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"model.norm.weight": "../elsewhere.safetensors"}}))
    with pytest.raises(ValueError, match="outside its folder"):
        open_model(tmp_path)


def test_missing_tensors_are_named(folder: Path) -> None:
    change_tensors(folder, lambda tensors: tensors.pop("model.layers.2.mlp.experts.5.up_proj.weight"))
    with pytest.raises(ValueError, match=r"lacks model\.layers\.2\.mlp\.experts\.5\.up_proj\.weight"):
        open_model(folder)


def test_a_wrong_shape_is_named_with_both_shapes(folder: Path) -> None:
    change_config(folder, moe_intermediate_size=32)
    with pytest.raises(ValueError, match=r"gate_proj\.weight .* \[24, 48\].* \[32, 48\]"):
        open_model(folder)


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), float("-inf")])
def test_nan_and_infinity_are_named(folder: Path, poison: float) -> None:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.layers.1.self_attn.o_proj.weight"][3, 4] = poison

    change_tensors(folder, change)
    with pytest.raises(ValueError, match=r"layers\.1\.self_attn\.o_proj\.weight .* NaN or infinity"):
        open_model(folder)


def test_scales_of_another_shape_are_named(model: K2Model, tmp_path: Path) -> None:
    save_model(model, tmp_path, storage="fp8")
    change_tensors(tmp_path, lambda tensors: tensors.update(
        {"model.layers.0.mlp.down_proj.weight_scale_inv": torch.ones(2, 2)}))
    with pytest.raises(ValueError, match=r"down_proj\.weight_scale_inv .* \[2, 2\].* \[1, 1\]"):
        open_model(tmp_path)


def test_other_storage_is_named(folder: Path) -> None:
    change_tensors(folder, lambda tensors: tensors.update({"model.norm.weight": torch.ones(48, dtype=torch.int32)}))
    with pytest.raises(ValueError, match=r"model\.norm\.weight is stored as I32"):
        open_model(folder)
    change_config(folder, quantization_config={"quant_method": "compressed-tensors"})
    with pytest.raises(ValueError, match=r"quantised with 'compressed-tensors'"):
        open_model(folder)
    for wrong in ("fp8", {"quant_method": "fp8", "weight_block_size": 128}):
        change_config(folder, quantization_config=wrong)
        with pytest.raises(ValueError, match=r"belongs? there"):
            open_model(folder)


def test_a_model_larger_than_the_machine_is_refused_before_reading(folder: Path) -> None:
    change_config(folder, hidden_size=1 << 20, n_routed_experts=4096, num_hidden_layers=64)
    with pytest.raises(ValueError, match=r"needs about .* GB"):
        open_model(folder)


def test_folders_without_a_model_say_what_belongs_there(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ValueError, match=r"No config\.json"):
        open_model(tmp_path / "nowhere")
    (folder / SAVED).unlink()
    with pytest.raises(ValueError, match=r"holds neither model\.safetensors nor"):
        open_model(folder)
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(ValueError, match=r"pickle files only"):
        open_model(folder)
