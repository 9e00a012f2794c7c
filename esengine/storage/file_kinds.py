"""What a file of another program is, by its first and last bytes; nothing in it is parsed."""

from __future__ import annotations

from pathlib import Path

from esengine.storage.files import opened, size_of

NPZ = "an npz of arrays"
ZIP = "a zip"

_ENDS_BYTES = 1 << 16
_ZIPS = {
    b"_stable_baselines3_version": "a model of Stable-Baselines3",
    b"pytorch_variables.pth": "a model of Stable-Baselines3",
    b"model.weights.h5": "a Keras model",
    b"constants.pkl": "a TorchScript module",
    b"data.pkl": "a PyTorch file",
    b".npy": NPZ,
}
"""What a zip is, by a name at its end; the first that is there counts."""
_BEGINNINGS = {
    b"\x89HDF\r\n\x1a\n": "an HDF5 file, such as a Keras .h5",
    b"\x93NUMPY": "an npy of numbers",
    b"\x80": "a pickle, such as of joblib or an older PyTorch",
    b"\x1f\x8b": "a gzip file",
    b"\x89PNG": "a picture",
}
_ONNX = (b"\x12", b"\x1a", b"\x22", b"\x3a", b"\x42")  # what follows the version of its format


def foreign_kind(path: Path) -> str | None:
    """What a file is, in words, or None if it may be one of safetensors or is unknown.

    Raises:
        ValueError: it is no regular file.
        OSError: it cannot be read.
    """
    with opened(path) as file:
        start = file.read(_ENDS_BYTES)
        file.seek(max(0, size_of(file) - _ENDS_BYTES))
        end = file.read(_ENDS_BYTES)

    if not start:
        return "an empty file"
    if start[8:9] == b"{":
        return None
    if start.startswith(b"PK"):
        return next((kind for name, kind in _ZIPS.items() if name in end), ZIP)
    for beginning, kind in _BEGINNINGS.items():
        if start.startswith(beginning):
            return kind
    if start[4:8] == b"TFL3":
        return "a TensorFlow Lite model"
    if start[:1] == b"\x08" and start[2:3] in _ONNX:
        return "an ONNX graph"
    return "a text" if _is_text(start) else None


def _is_text(image: bytes) -> bool:
    try:
        text = image[: -4 or None].decode()  # a character may be cut
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character.isspace() for character in text)
