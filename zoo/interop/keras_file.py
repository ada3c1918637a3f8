"""Reads a saved Keras 3 model, `Embedding -> LSTM or GRU -> Dense`, without Keras and without running its code.

`config.json` has the layers and their settings, `model.weights.h5` their weights.

Shapes: V words, E embedding features, I inputs, H units, G gates, K labels.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.interop.foreign import Chain, Direction
from zoo.interop.keras_archive import another_kind, read_weights, unpack

if TYPE_CHECKING:
    import h5py


class Layer(NamedTuple):
    """A layer of the file."""

    kind: str
    name: str
    config: dict[str, Any]
    group: str  # the path of its weights in the file


# The role of each supported kind in the chain. Layers with the role "" change nothing in a prediction.
ROLES = dict.fromkeys(
    ("InputLayer", "Dropout", "SpatialDropout1D", "AlphaDropout", "GaussianDropout", "GaussianNoise"), ""
)
ROLES |= {"ActivityRegularization": "", "Embedding": "embedding"}
ROLES |= {"LSTM": "recurrent", "GRU": "recurrent", "Bidirectional": "recurrent"}
ROLES |= {"GlobalAveragePooling1D": "pooling", "GlobalMaxPooling1D": "pooling", "Dense": "dense"}
ROLES |= {"TimeDistributed": "dense", "Activation": "activation"}
# Groups of weights whose name is not the name of the kind in lower case.
GROUPS = {"TimeDistributed": "time_distributed"}
POOLING = {"GlobalAveragePooling1D": "mean", "GlobalMaxPooling1D": "max"}

RECURRENT: dict[str, object] = {
    "activation": "tanh",
    "recurrent_activation": "sigmoid",
    "return_state": False,
    "stateful": False,
}
REQUIRED: dict[str, dict[str, object]] = {
    "LSTM": RECURRENT,
    "GRU": {**RECURRENT, "reset_after": True},
    "Bidirectional": {"merge_mode": "concat"},
}
REQUIRED |= {kind: {"keepdims": False, "data_format": "channels_last"} for kind in POOLING}

# The gates of an LSTM have the order of torch. Those of a GRU are update, reset, new; torch has reset, update, new.
GATES = {"LSTM": [0, 1, 2, 3], "GRU": [1, 0, 2]}


def read_keras(path: Path) -> Chain:
    """Reads a `.keras` file.

    Raises:
        ZooError: no such file, a layer or setting that has no counterpart here (it is named), or a damaged file.
    """
    try:
        import h5py
    except ImportError as error:
        raise ZooError("reading a Keras model needs a package: pip install lstm-zoo[keras-import]") from error
    hint = "save it in Keras 3 with model.save('name.keras')"
    if came := another_kind(path):
        raise ZooError(f"expected a .keras file, got {path}: {came} ({hint})")
    try:
        config, weights = unpack(path)
        layers = list(_layers(config["class_name"], _items(config)))
        with h5py.File(io.BytesIO(weights)) as file:
            return _chain(_with_activations(layers), file)
    except ZooError as error:
        raise ZooError(f"{path}: {error}") from error
    except Exception as error:
        # A damaged file can raise any error of zlib, HDF5 and JSON.
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ZooError(f"expected a .keras file, got {path}: {reason} ({hint})") from error


def _items(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The layers of a Sequential or functional model; other models are not defined by their layers alone."""
    kind = config["class_name"]
    if kind not in ("Sequential", "Functional"):
        raise ZooError(
            f"a model of the class {kind!r}, whose code is not in the file: expected a Sequential or functional model. "
            "Make one of the same layers, give it the weights with set_weights(model.get_weights()), and save that"
        )
    layers: list[dict[str, Any]] = config["config"]["layers"]
    return layers


def _layers(model: str, items: list[dict[str, Any]]) -> Iterator[Layer]:
    """Yields the layers in the order of the chain that they must form."""
    seen: Counter[str] = Counter()
    previous = None
    masks = set()
    for item in items:
        kind = item["class_name"]
        name = item["config"]["name"]
        # The option mask_zero makes its mask with this layer.
        if kind == "NotEqual" and item["inbound_nodes"][0]["args"][1] == 0:
            masks.add(name)
            continue
        if kind not in ROLES:
            known = ", ".join(sorted(ROLES))
            raise ZooError(f"layer {name!r} is of the unsupported kind {kind}: supported are {known}")
        if model == "Functional" and previous is not None:
            inputs = set(_sources(item["inbound_nodes"])) - masks
            if inputs != {previous} or len(item["inbound_nodes"]) != 1:
                came = ", ".join(sorted(inputs)) or "nothing"
                raise ZooError(f"expected a chain, but layer {name!r} does not read {previous!r} alone: {came}")
        previous = name
        for key, value in REQUIRED.get(kind, {}).items():
            _expect(name, item["config"], key, value)
        group = f"layers/{GROUPS.get(kind, kind.lower())}" + f"_{seen[kind]}" * bool(seen[kind])
        seen[kind] += 1
        settings = item["config"]
        # A Dense layer has the same outputs with and without this wrapper.
        if kind == "TimeDistributed":
            kind = settings["layer"]["class_name"]
            settings = settings["layer"]["config"]
            group = f"{group}/layer"
            if kind != "Dense":
                raise ZooError(f"layer {name!r} wraps the unsupported kind {kind}: supported is Dense")
        yield Layer(kind, name, settings, group)


def _with_activations(layers: list[Layer]) -> list[Layer]:
    """Removes Activation layers from the chain. A Dense layer takes over the activation that follows it."""
    found: list[Layer] = []
    for layer in layers:
        if layer.kind != "Activation":
            found.append(layer)
            continue
        place = max((i for i, before in enumerate(found) if ROLES[before.kind]), default=None)
        if layer.config["activation"] == "linear" or place is None:
            continue
        before = found[place]
        if before.kind != "Dense" or before.config["activation"] != "linear":
            came = before.config.get("activation", "none")
            raise ZooError(
                f"layer {layer.name!r}: expected Activation after a Dense without one, got it after {before.name!r}, a "
                f"{before.kind} with activation={came!r}"
            )
        found[place] = before._replace(config={**before.config, "activation": layer.config["activation"]})
    return found


def _sources(node: object) -> Iterator[str]:
    """Yields the names of all layers that a node of a functional model reads."""
    if isinstance(node, dict):
        if "keras_history" in node:
            yield node["keras_history"][0]
        node = list(node.values())
    for child in node if isinstance(node, list) else []:
        yield from _sources(child)


def _expect(name: str, config: dict[str, Any], key: str, value: object) -> None:
    if config.get(key, value) != value:
        raise ZooError(f"layer {name!r}: expected {key}={value!r}, got {config[key]!r}, which has no counterpart here")


def _chain(layers: list[Layer], file: h5py.File) -> Chain:
    by_role: dict[str, list[Layer]] = {"": [], "embedding": [], "recurrent": [], "pooling": [], "dense": []}
    for layer in layers:
        by_role[ROLES[layer.kind]].append(layer)
    order = [role for role, _ in groupby(ROLES[layer.kind] for layer in layers if ROLES[layer.kind])]
    expected = ["embedding", "recurrent", *["pooling"] * bool(by_role["pooling"]), "dense"]
    if order != expected or len(by_role["embedding"]) > 1 or len(by_role["pooling"]) > 1:
        came = " -> ".join(layer.kind for layer in layers)
        chain = "Embedding -> (Bidirectional) LSTM or GRU ... -> (one pooling) -> Dense"
        raise ZooError(f"expected {chain}, got {came}")
    first = by_role["embedding"][0]
    pooling = by_role["pooling"]
    dense = by_role["dense"]
    size = first.config["output_dim"]
    embedding = read_weights(file, first.group, 0, (first.config["input_dim"], size))
    recurrent = []
    cells = set()
    tags = not pooling and _returns_sequences(by_role["recurrent"][-1])
    for place, layer in enumerate(by_role["recurrent"], 1):
        goes_on = tags or bool(pooling) or place < len(by_role["recurrent"])
        directions = list(_directions(layer, goes_on))
        recurrent.append([_direction(file, *direction, inputs=size) for direction in directions])
        cells |= {kind for _, kind, _ in directions}
        size = sum(config["units"] for _, _, config in directions)
    if len(cells) > 1:
        raise ZooError("expected LSTM layers or GRU layers, got both: a backbone has one kind of cell")
    if tags and len(dense) > 1:
        raise ZooError(
            f"expected one Dense layer that scores the tags of a token, got {len(dense)}: a tagger has no others"
        )
    matrices = []
    for layer in dense:
        matrices.append(_dense(file, layer, size))
        size = layer.config["units"]
    return Chain(
        embedding,
        cells.pop().lower(),
        recurrent,
        POOLING[pooling[0].kind] if pooling else None if tags else "last",
        matrices,
        multi_label=_head(dense, tags),
        masks_padding=first.config["mask_zero"],
        input_length=next(filter(None, map(_fixed_length, layers)), None),
    )


def _returns_sequences(layer: Layer) -> bool:
    """Whether a recurrent layer returns all of its states, not only the last one."""
    config = layer.config["layer"]["config"] if layer.kind == "Bidirectional" else layer.config
    return bool(config["return_sequences"])


def _fixed_length(layer: Layer) -> int | None:
    """The length that an input layer requires. If it has a batch size too, it was only built on such a batch."""
    rows, length = layer.config["batch_shape"] if layer.kind == "InputLayer" else (None, None)
    return length if rows is None else None


def _directions(layer: Layer, goes_on: bool) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yields the group of weights, the kind and the checked settings of each direction."""
    parts = [(layer.group, layer.kind, layer.config)]
    if layer.kind == "Bidirectional":
        forward = layer.config["layer"]
        backward = layer.config["backward_layer"]
        parts = [(f"{layer.group}/forward_layer", forward["class_name"], forward["config"])]
        parts += [(f"{layer.group}/backward_layer", backward["class_name"], backward["config"])]
    for backwards, (group, kind, config) in enumerate(parts):
        if kind not in GATES:
            raise ZooError(f"layer {layer.name!r} wraps the unsupported kind {kind}: supported are {', '.join(GATES)}")
        required = {**REQUIRED[kind], "go_backwards": bool(backwards), "return_sequences": goes_on}
        for key, value in required.items():
            _expect(layer.name, config, key, value)
        yield group, kind, config


def _direction(file: h5py.File, group: str, kind: str, config: dict[str, Any], *, inputs: int) -> Direction:
    order = GATES[kind]
    units = config["units"]

    def in_torch_order(x: Tensor) -> Tensor:  # (*, G * H)
        gates: Tensor = x.unflatten(-1, (len(order), units))
        return gates[..., order, :].flatten(-2)

    width = len(order) * units
    weight_ih = in_torch_order(read_weights(file, f"{group}/cell", 0, (inputs, width))).T
    weight_hh = in_torch_order(read_weights(file, f"{group}/cell", 1, (units, width))).T
    biases = torch.zeros(2, width)
    # An LSTM of Keras has one bias, which becomes the input bias.
    if config["use_bias"]:
        shape = (2, width) if kind == "GRU" else (width,)
        biases[: 2 if kind == "GRU" else 1] = in_torch_order(read_weights(file, f"{group}/cell", 2, shape))
    return Direction(weight_ih, weight_hh, *biases)


def _dense(file: h5py.File, layer: Layer, inputs: int) -> tuple[Tensor, Tensor]:
    units = layer.config["units"]
    weight = read_weights(file, layer.group, 0, (inputs, units)).T
    return weight, read_weights(file, layer.group, 1, (units,)) if layer.config["use_bias"] else torch.zeros(units)


def _head(dense: list[Layer], tags: bool) -> bool:
    """Whether the last dense layer gives each of several labels an independent probability."""
    *hidden, last = dense
    if len(hidden) > 1:
        raise ZooError(f"expected at most one Dense layer before the last, got {len(hidden)}")
    for layer in hidden:
        _expect(layer.name, layer.config, "activation", "relu")
    allowed: tuple[str, ...] = ("sigmoid", "linear") if last.config["units"] == 1 else ("softmax", "sigmoid", "linear")
    # A token has one tag.
    if tags:
        allowed = () if last.config["units"] == 1 else ("softmax", "linear")
    if last.config["activation"] not in allowed:
        came = last.config["activation"]
        hint = " or ".join(allowed) or "softmax over two tags at least"
        raise ZooError(f"layer {last.name!r}: expected the activation {hint}, got {came!r}")
    return bool(last.config["activation"] == "sigmoid" and last.config["units"] > 1)
