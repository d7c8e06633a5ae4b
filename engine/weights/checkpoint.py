"""A folder of safetensors files as one set of named tensors, checked before anything is read from it.

Only safetensors are opened, never pickle files. The files' own headers say what they must contain, so a
download that broke off is recognised and named. What the tensors mean is not known here.
"""

import hashlib
import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
_LARGEST_HEADER = 100_000_000  # bytes; safetensors' own limit
_SAMPLED_TENSORS = 512
_SAMPLE_BYTES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorEntry:
    """Where a tensor lies: its file and the byte range in it."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


class Checkpoint:
    """Open with the folder; ValueError says which file is missing, cut short or unreadable, and what to do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.entries: dict[str, TensorEntry] = {}
        self._handles: dict[Path, Any] = {}
        for path in _shards(folder):
            self.entries.update(_read_header(path))

    @property
    def num_bytes(self) -> int:
        """Size of all tensors together."""
        return sum(entry.end - entry.start for entry in self.entries.values())

    def require(self, names: Iterable[str]) -> None:
        """ValueError naming the first few of `names` that the files don't hold."""
        missing = [name for name in names if name not in self.entries]
        if missing:
            shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
            raise ValueError(
                f"{self.folder} lacks {shown}. The files don't belong to this config.json, or a shard is not the one"
                " the index means; fetch the checkpoint again."
            )

    def tensor(self, name: str) -> Tensor:
        """One tensor as stored; its pages are read when used. ValueError when the file contradicts itself."""
        entry = self.entries[name]
        try:
            if entry.file not in self._handles:
                self._handles[entry.file] = safe_open(entry.file, framework="pt")
            tensor: Tensor = self._handles[entry.file].get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{name} in {entry.file} cannot be read ({error}). Fetch the file again.") from error
        return tensor

    def fingerprint(self, config: dict[str, Any]) -> str:
        """16 hex digits that tell checkpoints apart: config, names, shapes and a sample of the bytes.

        Reads at most 128 KiB, so it stays cheap for a model of a terabyte; how the files are split doesn't matter.
        """
        digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
        names = sorted(self.entries)
        for name in names:
            entry = self.entries[name]
            digest.update(f"{name} {entry.dtype} {entry.shape}\n".encode())
        for name in names[:: max(1, -(-len(names) // _SAMPLED_TENSORS))]:
            entry = self.entries[name]
            with entry.file.open("rb") as file:
                file.seek(max(entry.start, (entry.start + entry.end - _SAMPLE_BYTES) // 2))
                digest.update(file.read(min(_SAMPLE_BYTES, entry.end - entry.start)))
        return digest.hexdigest()[:16]


def _shards(folder: Path) -> list[Path]:
    index = folder / _INDEX
    if index.exists():
        names = _index_files(index)
    elif (folder / _SINGLE).exists():
        names = [_SINGLE]
    else:
        raise ValueError(_nothing_to_open(folder))
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        shown = ", ".join(missing[:3]) + (" ..." if len(missing) > 3 else "")
        raise ValueError(
            f"{len(missing)} of {len(names)} shards are missing from {folder}: {shown}."
            " Fetch the missing files, they are named in the checkpoint's index."
        )
    return [folder / name for name in names]


def _index_files(index: Path) -> list[str]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{index} cannot be read ({error!r}). Fetch the checkpoint's index again.") from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise ValueError(f"{index} points outside its folder ({name!r}). Don't use this checkpoint.")
    return names


def _nothing_to_open(folder: Path) -> str:
    if not folder.is_dir():
        return f"There is no folder {folder}. Choose one that holds config.json and *.safetensors files."
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt")):
        return (
            f"{folder} holds weights as pickle files only, which could run code when opened."
            " Use the checkpoint's safetensors version."
        )
    return f"{folder} holds neither {_SINGLE} nor {_INDEX}. Fetch the checkpoint's weights into it."


def _read_header(path: Path) -> dict[str, TensorEntry]:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            first = file.read(8)
            length = struct.unpack("<Q", first)[0] if len(first) == 8 else 0
            text = file.read(length) if 0 < length <= min(_LARGEST_HEADER, size) else b""
    except OSError as error:
        raise ValueError(f"{path} cannot be opened ({error}). Check its permissions and its disk.") from error
    try:
        header = json.loads(text)
        data_start = 8 + length
        entries = {
            name: TensorEntry(
                file=path,
                dtype=value["dtype"],
                shape=tuple(value["shape"]),
                start=data_start + value["data_offsets"][0],
                end=data_start + value["data_offsets"][1],
            )
            for name, value in header.items()
            if name != "__metadata__"
        }
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{path} is no readable safetensors file (its header is damaged or cut off). Fetch the file again."
        ) from error
    expected = max((entry.end for entry in entries.values()), default=data_start)
    if size != expected:
        raise ValueError(
            f"{path} has {size:,} bytes, and its header promises {expected:,}: the download broke off or the file was"
            " changed. Fetch the file again."
        )
    return entries
