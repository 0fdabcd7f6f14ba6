"""What PyTorch says when it fails, as one line that can be shown to a person."""

from __future__ import annotations

import re

from overread.errors import COLOURS, one_line

_OPERATION = re.compile(r"op='([\w.]+)'")


def first_cause(error: BaseException) -> str:
    """The operation that ONNX does not know, or the first line of the error it all began with.

    Without the codes by which a terminal makes colours, and at most 200 characters.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    text = COLOURS.sub("", str(error))
    operation = _OPERATION.search(text)
    if operation:
        return f"ONNX has no counterpart of the operation '{operation[1]}'"
    return one_line(text) or type(error).__name__
