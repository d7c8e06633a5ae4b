"""Writes a checkpoint as a GGUF file of llama.cpp's `deepseek2` architecture, which covers DeepSeek-V3 and Kimi K2.

FP8 is decoded; what llama.cpp computes with float32 (norms, router, its bias) stays float32 in every file type. Two
tensors take another form there: kv_b is cut into its key half, transposed per head, and its value half; and a
layer's experts are stacked. Written tensor by tensor, so a model needs no more memory than its largest one.

llama.cpp uses one epsilon in every norm, where the architecture has 1e-6 in the two latent ones: the same in
models that have 1e-6 throughout, Nano among them.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import gguf
import numpy as np
import torch
from torch import Tensor

from engine.config import ModelConfig, read_config
from engine.models.k2.model import K2Model
from engine.served_model import read_default_sampling
from engine.weights.checkpoint import Checkpoint
from engine.weights.gguf_vocab import GgufVocab, read_vocab
from engine.weights.load import Progress, default_dtype, fp8_block, ignore_progress, read_weight
from engine.weights.names import slots

FileType = Literal["f32", "f16", "bf16", "q8_0"]
FILE_TYPES: tuple[FileType, ...] = get_args(FileType)
_Shapes = Mapping[str, tuple[int, ...]]
_QUANTIZATIONS = {name: gguf.GGMLQuantizationType[name.upper()] for name in FILE_TYPES}
_FILE_TYPES = {
    "f32": gguf.LlamaFileType.ALL_F32, "f16": gguf.LlamaFileType.MOSTLY_F16,
    "bf16": gguf.LlamaFileType.MOSTLY_BF16, "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
}
_OUTSIDE_LAYERS = {
    "model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_IN_LAYER = {
    "input_layernorm.weight": "attn_norm.weight", "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.q_a_proj.weight": "attn_q_a.weight", "self_attn.q_a_layernorm.weight": "attn_q_a_norm.weight",
    "self_attn.q_b_proj.weight": "attn_q_b.weight", "self_attn.kv_a_proj_with_mqa.weight": "attn_kv_a_mqa.weight",
    "self_attn.kv_a_layernorm.weight": "attn_kv_a_norm.weight", "self_attn.o_proj.weight": "attn_output.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight", "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight", "mlp.down_proj.weight": "ffn_down.weight",
    "mlp.gate.weight": "ffn_gate_inp.weight", "mlp.gate.e_score_correction_bias": "exp_probs_b.bias",
    "mlp.shared_experts.gate_proj.weight": "ffn_gate_shexp.weight",
    "mlp.shared_experts.up_proj.weight": "ffn_up_shexp.weight",
    "mlp.shared_experts.down_proj.weight": "ffn_down_shexp.weight",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufReport:
    """What was written."""

    file: str
    num_bytes: int
    num_tensors: int
    file_type: FileType
    split: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """A tensor of the file: how it is made, and of which tensors of the checkpoint."""

    name: str
    sources: Sequence[str]
    make: Callable[[Sequence[Tensor]], Tensor]
    shape: tuple[int, ...]

    def quantization(self, file_type: FileType) -> Any:
        """Give the type it is stored in; rows that don't fill Q8_0's blocks are stored as float16."""
        if len(self.shape) == 1 or ".ffn_gate_inp." in self.name:
            return gguf.GGMLQuantizationType.F32
        chosen = _QUANTIZATIONS[file_type]
        fits = self.shape[-1] % gguf.GGML_QUANT_SIZES[chosen][0] == 0
        return chosen if fits else gguf.GGMLQuantizationType.F16


def export_gguf(folder: Path, file: Path, *, file_type: FileType | None = None,
                progress: Progress = ignore_progress) -> GgufReport:
    """Write the checkpoint in `folder` to `file`, which appears complete or not at all.

    Without a type, a small model is written as float32, which is exact, and a large one as bfloat16.

    Raises:
        ValueError: the checkpoint is damaged, or llama.cpp would compute or read it differently.
        OSError: the file can't be written.
    """
    values = read_config(folder / "config.json")
    config = ModelConfig.from_json(values)
    _refuse_differences(config)
    vocab = read_vocab(folder, config.vocab_size)
    checkpoint = Checkpoint(folder)
    if file_type is None:
        file_type = "f32" if default_dtype(config, torch.device("cpu")) == torch.float32 else "bf16"
    shapes = _shapes(config)
    checkpoint.require(shapes)
    targets = list(_targets(config, shapes))
    block = fp8_block(values)

    def read(name: str) -> Tensor:
        return read_weight(checkpoint, name, shapes[name], block).float()

    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(file.name + ".unfinished")
    writer = gguf.GGUFWriter(unfinished, gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH.DEEPSEEK2])
    try:
        _add_general(writer, folder, file_type)
        _add_architecture(writer, config)
        _add_vocab(writer, vocab, config)
        _write_tensors(writer, targets, read, file_type, progress)
        writer.close()
        unfinished.replace(file)
    finally:
        writer.close()
        unfinished.unlink(missing_ok=True)
    return GgufReport(file=str(file), num_bytes=file.stat().st_size, num_tensors=len(targets), file_type=file_type,
                      split=vocab.split)


def _refuse_differences(config: ModelConfig) -> None:
    """ValueError for what llama.cpp's deepseek2 has no place for."""
    if not config.num_shared_experts and config.moe_layers:
        raise ValueError("The model has no shared experts, and llama.cpp's deepseek2 architecture always has. It can't "
                         "be exported; run it here.")
    yarn = config.yarn
    if yarn is not None and not (yarn.mscale and yarn.mscale == yarn.mscale_all_dim and yarn.truncate
                                 and yarn.attention_factor in (None, 1.0)):
        raise ValueError("The model's rotary scaling (YaRN with mscale unlike mscale_all_dim, an attention_factor, or "
                         "without truncation) is computed differently by llama.cpp. It can't be exported; run it here.")


def _shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {name: tuple(slot.shape) for name, slot in slots(K2Model(config))}


def _targets(config: ModelConfig, shapes: _Shapes) -> Iterator[_Target]:
    """All tensors of the file, in the order they are written."""
    def target(name: str, sources: Sequence[str], make: Callable[[Sequence[Tensor]], Tensor]) -> _Target:
        shape = make([torch.empty(shapes[source], device="meta") for source in sources]).shape
        return _Target(name=name, sources=sources, make=make, shape=tuple(shape))

    def keys_HRQ(sources: Sequence[Tensor]) -> Tensor:
        return _halves(sources[0], config)[0].transpose(1, 2)

    def values_HVR(sources: Sequence[Tensor]) -> Tensor:
        return _halves(sources[0], config)[1]

    for source, name in _OUTSIDE_LAYERS.items():
        if source in shapes:
            yield target(name, [source], _only)
    for layer in range(config.num_layers):
        prefix = f"model.layers.{layer}."
        for source, name in _IN_LAYER.items():
            if prefix + source in shapes:
                yield target(f"blk.{layer}.{name}", [prefix + source], _only)
        kv_b = [prefix + "self_attn.kv_b_proj.weight"]
        yield target(f"blk.{layer}.attn_k_b.weight", kv_b, keys_HRQ)
        yield target(f"blk.{layer}.attn_v_b.weight", kv_b, values_HVR)
        if layer in config.moe_layers:
            for part in ("gate", "up", "down"):
                each = [f"{prefix}mlp.experts.{e}.{part}_proj.weight" for e in range(config.num_experts)]
                yield target(f"blk.{layer}.ffn_{part}_exps.weight", each, _stacked)


def _only(sources: Sequence[Tensor]) -> Tensor:
    return sources[0]


def _stacked(sources: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(sources))


def _halves(kv_b: Tensor, config: ModelConfig) -> tuple[Tensor, Tensor]:
    """What makes keys [H, nope, R] and values [H, V, R] of the latents."""
    per_head = kv_b.view(config.num_heads, -1, config.kv_lora_rank)
    keys_HQR, values_HVR = torch.split(per_head, [config.nope_head_dim, config.value_head_dim], dim=1)
    return keys_HQR, values_HVR


def _write_tensors(writer: Any, targets: Sequence[_Target], read: Callable[[str], Tensor], file_type: FileType,
                   progress: Progress) -> None:
    """Write the header, which names every tensor, then one tensor after the other."""
    for target in targets:
        quantization = target.quantization(file_type)
        block, block_bytes = gguf.GGML_QUANT_SIZES[quantization]
        num_bytes = math.prod(target.shape) // block * block_bytes
        writer.add_tensor_info(target.name, target.shape, np.dtype(np.float32), num_bytes, raw_dtype=quantization)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for number, target in enumerate(targets):
        progress(number / len(targets), f"Writing {target.name}")
        array = target.make([read(name) for name in target.sources]).contiguous().numpy()
        writer.write_tensor_data(gguf.quants.quantize(array, target.quantization(file_type)))
    progress(1.0, "Written")


def _add_general(writer: Any, folder: Path, file_type: FileType) -> None:
    writer.add_name(folder.resolve().name)
    writer.add_file_type(_FILE_TYPES[file_type])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    sampling = read_default_sampling(folder)
    writer.add_sampling_temp(sampling.temperature)
    writer.add_sampling_top_p(sampling.top_p)
    writer.add_sampling_top_k(sampling.top_k)
    writer.add_sampling_min_p(sampling.min_p)


def _add_architecture(writer: Any, config: ModelConfig) -> None:
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_layers)
    writer.add_feed_forward_length(config.dense_width)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_head_count(config.num_heads)
    # MLA there is attention over the latents themselves: one key of latent and rotated part, one value of latent.
    writer.add_head_count_kv(1)
    writer.add_key_length(config.kv_lora_rank + config.rope_head_dim)
    writer.add_value_length(config.kv_lora_rank)
    writer.add_key_length_mla(config.query_head_dim)
    writer.add_value_length_mla(config.value_head_dim)
    writer.add_q_lora_rank(config.q_lora_rank or 0)
    writer.add_kv_lora_rank(config.kv_lora_rank)
    _add_experts(writer, config)
    writer.add_rope_dimension_count(config.rope_head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    if config.yarn is not None and config.yarn.mscale_all_dim is not None:
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(config.yarn.factor)
        writer.add_rope_scaling_orig_ctx_len(config.yarn.original_max_position)
        writer.add_rope_scaling_yarn_beta_fast(config.yarn.beta_fast)
        writer.add_rope_scaling_yarn_beta_slow(config.yarn.beta_slow)
        writer.add_rope_scaling_yarn_log_mul(0.1 * config.yarn.mscale_all_dim)  # llama.cpp divides by 0.1 again


def _add_experts(writer: Any, config: ModelConfig) -> None:
    writer.add_leading_dense_block_count(config.num_dense_layers)
    writer.add_expert_feed_forward_length(config.expert_width)
    writer.add_expert_count(config.num_experts)
    writer.add_expert_used_count(config.experts_per_token)
    writer.add_expert_shared_count(config.num_shared_experts)
    writer.add_expert_weights_scale(config.routed_scaling_factor)
    writer.add_expert_weights_norm(config.norm_topk_prob)
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    if config.num_groups > 1:
        writer.add_expert_group_count(config.num_groups)
        writer.add_expert_group_used_count(config.groups_per_token)


def _add_vocab(writer: Any, vocab: GgufVocab, config: ModelConfig) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocab.split)
    writer.add_token_list(vocab.tokens)
    writer.add_token_types(vocab.kinds)
    writer.add_token_merges(vocab.merges)
    writer.add_add_bos_token(vocab.adds_bos)
    if config.bos_token_id is not None:
        writer.add_bos_token_id(config.bos_token_id)
    if config.pad_token_id is not None:
        writer.add_pad_token_id(config.pad_token_id)
    for add, token in zip((writer.add_eos_token_id, writer.add_eot_token_id), config.eos_token_ids, strict=False):
        add(token)
    if vocab.chat_template is not None:
        writer.add_chat_template(vocab.chat_template)
