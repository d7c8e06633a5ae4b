"""Rotary position embedding with interleaved pairs, plain or stretched by YaRN.

Dimensions 2i and 2i+1 form a complex number that turns by position * frequency_i, so a rotation is one complex
multiplication. Legend: S positions, P rotary dimensions of a head.
"""

import math

import torch
from torch import Tensor

from engine.config import ModelConfig, YarnScaling, yarn_mscale


def rope_frequencies(config: ModelConfig) -> tuple[Tensor, float]:
    """Angular frequencies [P/2] in radians per position, and the factor on cos and sin.

    YaRN as transformers' `_compute_yarn_parameters` has it: high frequencies stay, low ones are divided by
    the factor, with a linear ramp between the two correction dimensions.
    """
    dims = torch.arange(0, config.rope_head_dim, 2, dtype=torch.float32)
    wavelengths = config.rope_theta ** (dims / config.rope_head_dim)
    if config.yarn is None:
        return 1.0 / wavelengths, 1.0
    low, high = _correction_range(config.yarn, config.rope_head_dim, config.rope_theta)
    steps = torch.arange(config.rope_head_dim // 2, dtype=torch.float32)
    stretched = ((steps - low) / (high - low)).clamp(0, 1)
    frequencies = stretched / (config.yarn.factor * wavelengths) + (1 - stretched) / wavelengths
    return frequencies, _attention_factor(config.yarn)


def rotary_table(config: ModelConfig, num_positions: int) -> Tensor:
    """Rotations [S, P/2] (complex64) of positions 0..num_positions-1."""
    frequencies, factor = rope_frequencies(config)
    angles = torch.outer(torch.arange(num_positions, dtype=torch.float32), frequencies)
    return torch.polar(torch.full_like(angles, factor), angles)


def rotate(x: Tensor, rotations: Tensor) -> Tensor:
    """Turn the pairs in the last dimension of `x` [..., P] by `rotations` [..., P/2]; dtype is kept."""
    wide = x.float()
    if not _lies_in_pairs(wide):
        wide = wide.clone(memory_format=torch.contiguous_format)
    return torch.view_as_real(_pairs(wide) * rotations).flatten(-2).to(x.dtype)


def rotate_in_place(x: Tensor, rotations: Tensor) -> None:
    """As `rotate`, written over `x`; in float32 it takes a single operation where memory is aligned."""
    if x.dtype == torch.float32 and _lies_in_pairs(x):
        _pairs(x).mul_(rotations)
    else:
        x.copy_(rotate(x, rotations))


def _lies_in_pairs(x: Tensor) -> bool:
    """Whether complex numbers can be seen in this memory: everything starts at an even place."""
    return x.storage_offset() % 2 == 0 and all(stride % 2 == 0 for stride in x.stride()[:-1])


def _pairs(x: Tensor) -> Tensor:
    return torch.view_as_complex(x.view(*x.shape[:-1], -1, 2))


def _correction_range(yarn: YarnScaling, dim: int, theta: float) -> tuple[float, float]:
    def dim_of(rotations: float) -> float:
        return dim * math.log(yarn.original_max_position / (rotations * 2 * math.pi)) / (2 * math.log(theta))

    low, high = dim_of(yarn.beta_fast), dim_of(yarn.beta_slow)
    if yarn.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    return low, high + 0.001 if low == high else high  # K2 sets both betas to 1: keep the ramp finite


def _attention_factor(yarn: YarnScaling) -> float:
    if yarn.attention_factor is not None:
        return yarn.attention_factor
    if yarn.mscale and yarn.mscale_all_dim:
        return yarn_mscale(yarn.factor, yarn.mscale) / yarn_mscale(yarn.factor, yarn.mscale_all_dim)
    return yarn_mscale(yarn.factor)
