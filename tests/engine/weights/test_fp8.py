"""Block FP8: exact look-up, edges of matrices, and the error of a round trip."""

import pytest
import torch

from engine.weights.fp8 import decode_blocks, encode_blocks


@pytest.mark.parametrize(("rows", "columns"), [(128, 256), (300, 140), (5, 7), (129, 128)])
def test_decoding_multiplies_each_value_with_its_blocks_scale(rows: int, columns: int) -> None:
    generator = torch.Generator().manual_seed(0)
    values = (torch.randn(rows, columns, generator=generator) * 50).to(torch.float8_e4m3fn)
    scales = torch.rand(-(-rows // 128), -(-columns // 128), generator=generator) + 0.5
    decoded = decode_blocks(values, scales)
    for row, column in ((0, 0), (rows - 1, columns - 1), (rows // 2, columns // 3)):
        expected = values[row, column].float() * scales[row // 128, column // 128]
        assert decoded[row, column] == expected
    assert decoded.shape == (rows, columns)


def test_every_byte_decodes_as_torch_does() -> None:
    values = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn).view(16, 16)
    assert torch.equal(decode_blocks(values, torch.ones(1, 1)).nan_to_num(nan=-1), values.float().nan_to_num(nan=-1))


@pytest.mark.parametrize(("rows", "columns"), [(128, 384), (96, 256), (64, 20)])
def test_a_round_trip_stays_within_e4m3s_precision(rows: int, columns: int) -> None:
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(1))
    matrix[0, 0] = 100.0
    values, scales = encode_blocks(matrix)
    decoded = decode_blocks(values, scales)
    assert decoded[0, 0] == pytest.approx(100.0)
    other_blocks = decoded[:, 128:] if columns > 128 else decoded[1:1]
    torch.testing.assert_close(other_blocks, matrix[:, 128:] if columns > 128 else matrix[1:1], rtol=2**-4, atol=1e-3)


def test_zeros_stay_zeros() -> None:
    values, scales = encode_blocks(torch.zeros(128, 128))
    assert not decode_blocks(values, scales).any()


def test_shapes_that_other_readers_decode_wrongly_are_refused() -> None:
    with pytest.raises(ValueError, match="192 x 64"):
        encode_blocks(torch.zeros(192, 64))
