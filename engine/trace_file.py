"""The container of `.moetrace` files: safetensors with u16 and f16 tensors, read and written without the library.

What the tensors and the metadata mean is in trace.py. Files are untrusted. Standard library and numpy only.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_SAFETENSORS_DTYPES: dict[str, Any] = {"U16": np.uint16, "F16": np.float16}
_MAX_HEADER_BYTES = 512 * 1024 * 1024


def write_container(path: Path, arrays: dict[str, npt.NDArray[Any]], metadata: dict[str, str]) -> None:
    """Write arrays and metadata, atomically.

    Raises:
        OSError: the disk refuses; a file that was there stays as it was.
    """
    header: dict[str, Any] = {"__metadata__": metadata}
    offset = 0
    names = {np.dtype(dtype): name for name, dtype in _SAFETENSORS_DTYPES.items()}
    for name, array in arrays.items():
        header[name] = {"dtype": names[array.dtype], "shape": list(array.shape),
                        "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(len(encoded).to_bytes(8, "little"))
            file.write(encoded)
            for array in arrays.values():
                file.write(array.tobytes())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_container(path: Path, *, kind: str) -> tuple[dict[str, str], dict[str, npt.NDArray[Any]]]:
    """Read metadata and arrays; the arrays only when the metadata's "format" is `kind`.

    Raises:
        OSError: the file can't be read.
        ValueError: it is no such container, cut off, or holds other kinds of numbers.
    """
    damaged = f"{path} is cut off or no trace file. Save the trace again or choose another file."
    with path.open("rb") as file:
        length = path.stat().st_size
        size = int.from_bytes(file.read(8), "little")
        if length < 8 or size > min(length - 8, _MAX_HEADER_BYTES):
            raise ValueError(damaged)
        try:
            header = json.loads(file.read(size))
            metadata = dict(header.pop("__metadata__", {}))
        except (AttributeError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(damaged) from error
        if metadata.get("format") != kind:
            raise ValueError(f"{path} is no routing trace: its metadata does not say so. Open a .moetrace file.")
        data = file.read()
    if not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError(damaged)
    try:
        return metadata, {name: _array(entry, data) for name, entry in header.items()}
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(damaged) from error


def _array(entry: dict[str, Any], data: bytes) -> npt.NDArray[Any]:
    start, end = entry["data_offsets"]
    if not 0 <= start <= end <= len(data):
        raise ValueError(f"bytes {start} to {end} of {len(data)}")
    return np.frombuffer(memoryview(data)[start:end], dtype=_SAFETENSORS_DTYPES[entry["dtype"]]).reshape(entry["shape"])
