# SPDX-License-Identifier: Apache-2.0
"""Read weight files without running code, within bounds of memory; their digests."""

from __future__ import annotations

import argparse
import hashlib
import io
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from monai_semigan.errors import CheckpointError
from monai_semigan.files import escaped, open_regular
from monai_semigan.types import PathLike

__all__ = ["file_digest", "listed", "named_weights", "read_checkpoint", "read_state_dict"]

NAMED_KEYS = 5
"""Keys named per kind of mismatch; the rest is counted."""

MAX_FILE_BYTES = 16 << 30
"""Of a weight file; a GAN's snapshot with its optimizers is below 3 GB."""

MAX_INDEX_BYTES = 4 << 20
"""Of what is parsed before any tensor: the archive's directory, and the pickle that names the tensors."""

MAX_VALUES = 1_000_000
"""Values in a file, counting what they hold."""

WEIGHT_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""Of weights; a checkpoint may also hold `COUNT_DTYPES`: steps of optimizers, states of random numbers."""

COUNT_DTYPES = (torch.uint8, torch.int32, torch.int64, torch.bool)

TENSOR_PARTS = re.compile(
    r"collections OrderedDict|argparse Namespace|torch\._utils _rebuild_\w+|torch\.serialization _get_layout|"
    r"torch \w+Storage|torch (Size|device|[a-z]+\d+|per_tensor_affine)|torch\.storage \w+Storage"
)
"""What a pickle may name. Shorter than the loader's own list, which lets a file ask for a byte array of any size."""


def file_digest(path: PathLike) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits.

    Raises:
        InputError: It is missing, no regular file, or cannot be read.
    """
    digest = hashlib.sha256()
    with open_regular(path) as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_state_dict(path: PathLike) -> dict[str, Tensor]:
    """Read a file of named weights without executing anything in it.

    Returns:
        Plain floating-point tensors, mapped from the file where its format allows: loading them copies.

    Raises:
        CheckpointError: The file is missing, damaged, carries code, or holds something else than named weights.
    """
    return named_weights(read_checkpoint(path), source=path)


def named_weights(state: Any, *, source: PathLike, name: str = "") -> dict[str, Tensor]:
    """Check that part of a loaded file is a state dict: plain floating-point tensors by name.

    Args:
        state: The part.
        source: The file, for errors.
        name: The part's key in the file.

    Raises:
        CheckpointError: It is something else.
    """
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        what = f"`{escaped(name)}` in `{escaped(source)}`" if name else f"`{escaped(source)}`"
        raise CheckpointError(f"{what} must be a dictionary of named tensors. Save `network.state_dict()`.")
    _check_tensors(state, WEIGHT_DTYPES, source)
    return state


def read_checkpoint(path: PathLike, *, remedy: str = "Copy it again.") -> dict[str, Any]:
    """Read a training checkpoint, of this or another code base, without executing anything in it.

    Beside plain tensors, numbers and texts it may hold an ``argparse.Namespace``, a bare collection of such values.
    Sizes are checked before anything is unpacked, so that no file can fill the memory.

    Args:
        path: The file.
        remedy: What to do about a damaged one.

    Returns:
        The dictionary that was saved; its tensors are mapped from the file where its format allows.

    Raises:
        CheckpointError: The file is missing, damaged, carries code, is built to exhaust the memory, or holds no
            dictionary.
    """
    content = _load(path, remedy)
    if not isinstance(content, dict):
        raise CheckpointError(
            f"`{escaped(path)}` must hold a dictionary of named tensors or of networks, got {type(content).__name__}."
        )
    _check_tensors(content, (*WEIGHT_DTYPES, *COUNT_DTYPES), path)
    return content


def _load(path: PathLike, remedy: str) -> Any:
    path = Path(path)
    name = escaped(path)
    if path.is_dir():
        inside = "best.pt" if (path / "best.pt").is_file() else ""
        hint = f" Pass `{name}/{inside}`." if inside else ""
        raise CheckpointError(f"`{name}` must be a weight file, but is a folder.{hint}")
    if not path.exists():
        raise CheckpointError(f"`{name}` must be a weight file, but there is none.")
    with open_regular(path, error=CheckpointError) as stream:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        if size > MAX_FILE_BYTES:
            raise CheckpointError(f"`{name}` must have at most {MAX_FILE_BYTES} bytes, got {size}.")
        try:
            is_archive = stream.read(4) == b"PK\3\4"
            stream.seek(0)
            index = _archive_index(stream, size) if is_archive else _legacy_index(stream)
            foreign = sorted(set(_foreign_parts(index)))
            if not foreign:
                return _torch_load(path, mmap=is_archive)
        except _OddFileError as error:
            raise CheckpointError(f"`{name}` must be a weight file, but {error}. {remedy}") from error
        except Exception as error:  # zip, pickle, runtime, end of file, OS: torch.load has no common base
            raise CheckpointError(
                f"`{name}` must be a weight file, but it is damaged ({type(error).__name__}). {remedy}"
            ) from error
    raise CheckpointError(
        f"`{name}` must hold tensors only, but it carries other Python objects ({listed(foreign)}), which could run "
        "code. Export a plain state dict: torch.save(network.state_dict(), path)."
    )


class _OddFileError(Exception):
    """The file is not what `torch.save` writes."""


class _Bounded(io.RawIOBase):
    """A stream that refuses large reads: an archive's directory is read at once, however long it says it is."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def read(self, size: int | None = -1) -> bytes:
        whole = size is None or size < 0
        content: bytes = self.stream.read(MAX_INDEX_BYTES + 1 if whole else min(size or 0, MAX_INDEX_BYTES + 1))
        if len(content) > MAX_INDEX_BYTES:
            raise _OddFileError("its directory is too large")
        return content

    def seek(self, offset: int, whence: int = 0) -> int:
        place: int = self.stream.seek(offset, whence)
        return place

    def tell(self) -> int:
        place: int = self.stream.tell()
        return place

    def seekable(self) -> bool:
        return True


def _archive_index(stream: Any, size: int) -> bytes:
    """Return the pickle inside an archive whose entries are stored as they are, each once."""
    with zipfile.ZipFile(_Bounded(stream)) as archive:
        entries = archive.infolist()
        if any(
            entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size for entry in entries
        ):
            raise _OddFileError("its entries are compressed")
        names = [entry.filename for entry in entries]
        if sum(entry.file_size for entry in entries) > size or len(set(names)) < len(names):
            raise _OddFileError("its entries overlap")
        pickles = [entry for entry in entries if entry.filename.rpartition("/")[2].endswith(".pkl")]
        if len(pickles) != 1 or not pickles[0].filename.endswith("data.pkl"):
            raise _OddFileError("it has no single list of tensors")
        if pickles[0].file_size > MAX_INDEX_BYTES:
            raise _OddFileError("its list of tensors is too large")
        return archive.read(pickles[0])


def _legacy_index(stream: Any) -> bytes:
    """Return the pickles of a file from before archives: three of numbers, then the tensors and their names."""
    return bytes(stream.read(MAX_INDEX_BYTES))


def _foreign_parts(index: bytes) -> Iterator[str]:
    """Yield what pickles name beside the parts of tensors; nothing is executed."""
    stream = io.BytesIO(index)
    for _ in range(5):
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name in ("GLOBAL", "INST") and not TENSOR_PARTS.fullmatch(str(argument)):
                yield str(argument).replace(" ", ".")
            elif opcode.name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4"):
                yield f"named by {opcode.name}"
        if stream.tell() >= len(index) or index[stream.tell() : stream.tell() + 1] != pickle.PROTO:
            return


def _torch_load(path: Path, *, mmap: bool) -> Any:
    with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
        warnings.simplefilter("ignore")  # of odd pickles, which are refused
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)


def _check_tensors(content: Any, dtypes: tuple[torch.dtype, ...], path: PathLike) -> None:
    """Refuse tensors that are not plain numbers in memory, by key; every part is visited once, however often named."""
    left: list[tuple[str, Any]] = [("", content)]
    seen: set[int] = set()
    while left:
        key, value = left.pop()
        if isinstance(value, Tensor):
            reason = _reason_against(value, dtypes)
            if reason:
                raise CheckpointError(
                    f"`{escaped(path)}` must hold plain tensors of numbers, but `{escaped(key)}` is {reason}."
                )
            continue
        if isinstance(value, argparse.Namespace):
            value = vars(value)
        if not isinstance(value, (dict, list, tuple)) or id(value) in seen:
            continue
        seen.add(id(value))
        items = value.items() if isinstance(value, dict) else enumerate(value)
        left += [(f"{key}.{name}" if key else str(name), item) for name, item in items]
        if len(left) + len(seen) > MAX_VALUES:
            raise CheckpointError(f"`{escaped(path)}` must hold at most {MAX_VALUES} values, but has more.")


def _reason_against(tensor: Tensor, dtypes: tuple[torch.dtype, ...]) -> str | None:
    if tensor.device.type != "cpu":
        return f"on the device {tensor.device.type}"
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested:
        return "sparse, quantized or nested"
    if tensor.dtype not in dtypes:
        return f"of {str(tensor.dtype).removeprefix('torch.')}"
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return f"larger than what is stored of it, {tuple(tensor.shape)}"
    return None


def listed(keys: list[str]) -> str:
    """Write names, the first `NAMED_KEYS` of them."""
    rest = len(keys) - NAMED_KEYS
    return ", ".join(map(escaped, keys[:NAMED_KEYS])) + (f" and {rest} more" if rest > 0 else "")
