"""Which extra of this package brings a package that is not installed, and how to install it."""

from __future__ import annotations

# Extra -> the names that it makes importable. A name in several is looked up in the first.
EXTRAS: dict[str, tuple[str, ...]] = {
    "audit": ("cv2",),
    "train": (
        "torch",
        "torchvision",
        "timm",
        "lightning_fabric",
        "sklearn",
        "matplotlib",
        "onnx",
        "onnxscript",
        "safetensors",
        "h5py",
        "tensorboard",
    ),
    "dicom": ("pylibjpeg", "libjpeg", "openjpeg"),
    "postgres": ("psycopg",),
    "openvino": ("openvino",),
    "parquet": ("pyarrow",),
}
_EXTRA_OF = {module: extra for extra, modules in EXTRAS.items() for module in modules}


def extra_of(module: str) -> str | None:
    """The extra that brings `module` (an import name, "cv2" or "torch.nn"); None where none does.

    >>> extra_of("torch.nn")
    'train'
    >>> extra_of("numpy") is None
    True
    """
    return _EXTRA_OF.get(module.partition(".")[0])


def install_hint(module: str) -> str:
    """The command that makes `module` importable, as a sentence for an error's hint.

    >>> install_hint("torch")
    "Install overread[train]: pip install 'overread[train]'."
    >>> install_hint("numpy")
    "Install it: pip install 'numpy'."
    """
    extra = extra_of(module)
    if extra is None:
        return f"Install it: pip install '{module.partition('.')[0]}'."
    return f"Install overread[{extra}]: pip install 'overread[{extra}]'."
