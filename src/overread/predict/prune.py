"""Leave outputs out of an ONNX file, so that what only they need is not computed.

ONNX Runtime runs every node of a loaded graph, whichever outputs are asked for (1.31; its
`only_execute_path_to_fetches` changes nothing), also those whose result nobody uses. So the output
and its nodes are taken off before loading, on the protobuf wire format: the onnx package is not
needed to predict.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

# (field number, content, whole field) of a protobuf message.
Field = tuple[int, memoryview, memoryview]
# Field numbers of onnx.proto: ModelProto.graph; GraphProto.node, .output; ValueInfoProto.name;
# NodeProto.input, .output. Graphs of ours hold no graphs in them (If, Loop).
GRAPH, NODE, OUTPUT, NAME, NODE_INPUT, NODE_OUTPUT = 7, 1, 12, 1, 1, 2
BYTES = 2  # wire type of a length-delimited field
FIXED = {1: 8, 5: 4}


def output_names(onnx: bytes) -> tuple[str, ...]:
    """Names of the graph's outputs; ValueError for what is not an ONNX file."""
    found = [
        _name(value)
        for number, graph, _ in _fields(memoryview(onnx))
        if number == GRAPH
        for inner, value, _ in _fields(graph)
        if inner == OUTPUT
    ]
    if not found:
        raise ValueError("it is not an ONNX graph with outputs")
    return tuple(found)


def without_outputs(onnx: bytes, names: Collection[str]) -> bytes:
    """The same model without the outputs `names` and the nodes that only they need.

    ValueError for what is not an ONNX file.
    """
    if not names:
        return onnx
    parts: list[bytes | memoryview] = []
    for number, value, whole in _fields(memoryview(onnx)):
        if number != GRAPH:
            parts.append(whole)
            continue
        kept = _kept(list(_fields(value)), names)
        parts += [_varint(GRAPH << 3 | BYTES), _varint(sum(map(len, kept))), *kept]
    return b"".join(parts)


def _kept(graph: list[Field], names: Collection[str]) -> list[memoryview]:
    """The fields of a graph that its remaining outputs need."""
    needed = {_name(value) for number, value, _ in graph if number == OUTPUT} - set(names)
    kept: list[memoryview] = []
    # Nodes are stored in the order they run in, so one pass from the end finds all that is needed.
    for number, value, whole in reversed(graph):
        if number == NODE:
            inputs, outputs = (_texts(value, which) for which in (NODE_INPUT, NODE_OUTPUT))
            if needed.isdisjoint(outputs):
                continue
            needed.update(inputs)
        elif number == OUTPUT and _name(value) in names:
            continue
        kept.append(whole)
    return kept[::-1]


def _texts(message: memoryview, which: int) -> list[str]:
    return [bytes(content).decode() for number, content, _ in _fields(message) if number == which]


def _name(value: memoryview) -> str:
    return next(iter(_texts(value, NAME)), "")


def _fields(data: memoryview) -> Iterator[Field]:
    """The fields of a protobuf message; content is empty for numbers."""
    at = 0
    while at < len(data):
        start = at
        key, at = _read_varint(data, at)
        kind, length = key & 7, 0
        if kind == BYTES:
            length, at = _read_varint(data, at)
        elif kind == 0:
            _, at = _read_varint(data, at)
        elif kind in FIXED:
            at += FIXED[kind]
        else:
            raise ValueError("it is not a protobuf message")
        end = at + length
        if end > len(data):
            raise ValueError("it is cut short")
        yield key >> 3, data[at:end], data[start:end]
        at = end


def _read_varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise ValueError("it is cut short")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
