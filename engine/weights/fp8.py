"""Block FP8, the format Kimi K2 ships in: e4m3 values with one float32 scale per 128 x 128 block.

The weight is value * scale, although the scales are stored as `weight_scale_inv`. Legend: rows x columns of a
matrix; its blocks at the right and lower edge may be smaller.
"""

import torch
from torch import Tensor

BLOCK = 128
_LARGEST = 448.0  # of e4m3 without infinities
_TINY = 1e-12  # scale of a block of zeros


def decode_blocks(values: Tensor, scales: Tensor, *, block: tuple[int, int] = (BLOCK, BLOCK)) -> Tensor:
    """Float32 matrix of e4m3 `values` [rows, columns] and `scales` [ceil(rows/block), ceil(columns/block)].

    A table look-up: torch converts e4m3 one number at a time on the CPU, five times slower.
    """
    table = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn).float().to(values.device)
    decoded = table.index_select(0, values.view(torch.uint8).flatten().int()).view(values.shape)
    num_columns = values.shape[1]
    for row, row_scales in enumerate(scales.float()):
        rows = decoded[row * block[0] : (row + 1) * block[0]]
        rows *= row_scales.repeat_interleave(block[1])[:num_columns]
    return decoded


def encode_blocks(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Nearest e4m3 values [rows, columns] and float32 scales; each block's largest weight becomes 448.

    ValueError for a dimension above 128 that is no multiple of it: transformers decodes such a matrix silently
    wrongly, so none is written.
    """
    rows, columns = matrix.shape
    for size in (rows, columns):
        if size > BLOCK and size % BLOCK:
            raise ValueError(
                f"A {rows} x {columns} matrix does not split into {BLOCK} x {BLOCK} blocks that every reader decodes"
                f" alike. Choose dimensions of at most {BLOCK} or multiples of it, or save in bfloat16."
            )
    high, wide = -(-rows // BLOCK), -(-columns // BLOCK)
    blocks = matrix.float().contiguous().view(high, rows // high, wide, columns // wide)
    scales = (blocks.abs().amax((1, 3)) / _LARGEST).clamp_min(_TINY)
    values = (blocks / scales[:, None, :, None]).clamp(-_LARGEST, _LARGEST).to(torch.float8_e4m3fn)
    return values.view(rows, columns), scales
