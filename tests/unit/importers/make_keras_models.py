"""Small Keras models of one layer (\"probe\") each: files, answers, and what must be refused."""

import contextlib
import itertools
import json
import logging
import sys
from pathlib import Path

import keras
import numpy as np
from keras import layers as L

keras.utils.set_random_seed(1)
out, side = sys.argv[1], 12
logging.disable()  # of the age of .h5
cases = {}


def case(said, *layers, kind="map", channels=3):
    "After a convolution of 6 channels, a flattened vector, or from the pixels on; None: mapped."
    front = [keras.Input((side, side, channels))]
    if kind != "pixels":
        front.append(L.Rescaling(1 / 25))
    if kind == "map":
        front.append(L.Conv2D(6, 3, name="front"))
    if kind == "vector":
        front += [L.Conv2D(3, 5), L.AveragePooling2D(2), L.Flatten()]
    if kind == "end":
        front += [L.Conv2D(3, 5), L.Flatten(), L.Dense(3)]
    back = [] if kind == "end" else [L.Flatten(), L.Dense(3, activation="softmax")]
    if kind == "pixels":
        back.insert(0, L.Conv2D(4, 3))
    cases[f"{len(cases):03d}"] = said, keras.Sequential([*front, *layers, *back])


def each(**options):
    return [dict(zip(options, v, strict=False)) for v in itertools.product(*options.values())]


P = {"name": "probe"}
for o in each(
    padding=["valid", "same"],
    strides=[1, 2, (2, 1)],
    use_bias=[True, False],
    groups=[1, 3],
    kernel_size=[1, (2, 3)],
):
    case(None, L.Conv2D(6, **o, **P))
for o in each(
    padding=["valid", "same"], strides=[1, 2], use_bias=[True, False], depth_multiplier=[1, 2]
):
    case(None, L.DepthwiseConv2D(3, **o, **P))
    case(None, L.SeparableConv2D(4, 3, activation="relu", **o, **P))
for layer in (L.Conv2D, L.SeparableConv2D):
    case("dilation_rate", layer(4, 3, dilation_rate=2, **P))
    case("dtype", layer(4, 3, dtype="mixed_bfloat16", **P))
case("dilation_rate", L.DepthwiseConv2D(3, dilation_rate=(2, 2), **P))
case("dtype", L.Conv2D(4, 3, dtype="bfloat16", **P))
case("dtype", L.Dropout(0.1, dtype="float64", **P))
case("dtype", L.RandomFlip(dtype="mixed_bfloat16", **P))


def again(activation, **more):
    if isinstance(activation, L.Layer):
        return type(activation).from_config({**activation.get_config(), **more})
    return activation


@keras.saving.register_keras_serializable("mine")
def halved(x):
    return x / 2


activations = [
    (None, "relu"),
    (None, "elu"),
    (None, "gelu"),
    (None, "silu"),
    (None, "tanh"),
    (None, "hard_silu"),
    (None, "sigmoid"),
    (None, "softmax"),
    (None, None),
    ("hard_sigmoid", "hard_sigmoid"),
    ("leaky_relu", "leaky_relu"),
    ("softplus", "softplus"),
    (None, L.ReLU()),
    (None, L.ReLU(max_value=0.5)),
    (None, L.ReLU(max_value=6)),
    (None, L.ReLU(negative_slope=0.3)),
    ("threshold", L.ReLU(threshold=0.4)),
    ("negative_slope", L.ReLU(max_value=1.0, negative_slope=0.2)),
    (None, L.ELU(alpha=0.2)),
    (None, L.LeakyReLU(0.4)),
    (None, L.LeakyReLU(negative_slope=0.05)),
    (None, L.Softmax()),
    ("axis", L.Softmax(axis=1)),
    ("PReLU", L.PReLU()),
    (None, keras.activations.swish),
    ("halved", halved),
]
for said, a in activations:
    case(said, L.Conv2D(4, 3, activation=again(a), **P))
    case(said, L.SeparableConv2D(4, 3, activation=again(a), **P))
    case(said, L.Activation(again(a) or "linear", **P))
    if said != "axis":
        case(said, L.Dense(5, activation=again(a), **P), kind="vector")
    if isinstance(a, L.Layer):
        case(said, again(a, **P))
for axis, said in ((1, "axis"), (2, "axis"), (3, None), (-1, None)):
    for o in each(center=[True, False], scale=[True, False]):
        # 10 places high and wide, 10 channels: the shapes alone would not tell.
        case(
            said,
            L.Conv2D(10, 3),
            L.BatchNormalization(axis=axis, epsilon=0.01, **o, **P),
            kind="early",
        )
for o in each(center=[True, False], scale=[True, False], axis=[1, -1]):
    case(None, L.BatchNormalization(**o, **P), kind="vector")
for o in each(padding=["valid", "same"], pool_size=[2, (2, 1), 5], strides=[None, 1, 2]):
    stays = o["padding"] == "valid" or (o["pool_size"], o["strides"]) in {(2, None), (2, 2)}
    stays = stays or (o["pool_size"] == (2, 1) and o["strides"] in {None, 2})
    stays = stays or (o["pool_size"] == 5 and o["strides"] is None)
    case(None if stays else "padding", L.MaxPooling2D(**o, **P))
    case(None if stays else "padding", L.AveragePooling2D(**o, **P))
case(None, L.GlobalAveragePooling2D(**P))
case(None, L.GlobalAveragePooling2D(keepdims=True, **P))
case("GlobalMaxPooling2D", L.GlobalMaxPooling2D(**P))
case(None, L.Flatten(**P))
case("data_format", L.Flatten(data_format="channels_first", **P))
case("data_format", L.GlobalAveragePooling2D(data_format="channels_first", **P))
case("data_format", L.MaxPooling2D(2, data_format="channels_first", **P))
case("data_format", L.Conv2D(2, 3, data_format="channels_first", **P))
for axis, said in ((-1, None), (3, None), (1, "axis"), (2, "axis")):
    case(said, L.Softmax(axis=axis, **P))
for axis, said in ((-1, None), (1, None), (0, "axis")):
    case(said, L.Softmax(axis=axis, **P), kind="end")
for o in each(use_bias=[True, False]):
    case(
        None,
        L.Dense(5, kernel_regularizer="l2", bias_constraint="non_neg", **o, **P),
        kind="vector",
    )
quantised = L.Dense(5, **P)
case("dtype|arrays", quantised, kind="vector")
quantised.quantize("int8")
for layer in (
    L.Resizing(8, 8, **P),
    L.CenterCrop(8, 8, **P),
    L.ZeroPadding2D(**P),
    L.Cropping2D(1, **P),
    L.Reshape((-1, 6), **P),
    L.Permute((2, 1, 3), **P),
    L.UnitNormalization(**P),
    L.RandomCrop(8, 8, **P),
    L.LayerNormalization(**P),
):
    case(type(layer).__name__, layer)
for layer in (
    L.Dropout(0.4, noise_shape=(None, 1, 1, 6), seed=1, **P),
    L.SpatialDropout2D(0.3, **P),
    L.GaussianNoise(0.2, seed=3, **P),
    L.GaussianDropout(0.2, **P),
    L.AlphaDropout(0.2, **P),
    L.ActivityRegularization(0.1, **P),
):
    case(None, layer)
for layer in (
    L.RandomBrightness(0.3, **P),
    L.RandomContrast(0.3, value_range=(0, 1), **P),
    L.RandomFlip("vertical", **P),
    L.RandomRotation(0.3, fill_mode="constant", **P),
    L.RandomTranslation(0.3, 0.1, **P),
    L.RandomZoom(0.4, **P),
    L.RandomHue(0.4, **P),
    L.RandomSaturation(0.6, **P),
    L.RandomShear(0.3, **P),
    L.RandomColorJitter(brightness_factor=0.5, **P),
):
    case(None, layer, L.Rescaling(1 / 25), kind="pixels")
for said, scale, offset in (
    (None, 1 / 50, 0.5),
    (None, [0.1, 0.02, 0.01], [0.0, 1.0, 0.3]),
    (None, [0.02], [1.0]),
    ("scale", -0.1, 2.0),
):
    case(said, L.Rescaling(scale, offset=offset, **P), kind="pixels")
for said, o in (
    (None, {"mean": [90.0, 80.0, 60.0], "variance": [400.0, 900.0, 300.0]}),
    (None, {"axis": None, "mean": 100.0, "variance": 1600.0}),
    (None, {"axis": 3, "mean": 90.0, "variance": 500.0}),
    ("axis", {"axis": 1, "mean": [90.0] * side, "variance": [400.0] * side}),
    ("invert", {"invert": True, "mean": 0.1, "variance": 0.02}),
):
    case(said, L.Normalization(**o, **P), kind="pixels")
adapted = L.Normalization(**P)
adapted.adapt(np.random.default_rng(1).uniform(0, 255, (8, side, side, 3)))
case(None, adapted, kind="pixels")
case(None, L.Rescaling([0.1], **P), kind="pixels", channels=1)


def through(*steps):
    given = x = keras.Input((side, side, 3))
    for step in steps:
        x = step(x)
    return given, x


def called(said, call, outputs=lambda middle, last: last):
    given, middle = through(L.Rescaling(1 / 25), L.Conv2D(4, 3))
    last = L.Dense(3, activation="softmax")(L.Flatten()(call(middle)))
    cases[f"{len(cases):03d}"] = said, keras.Model(given, outputs(middle, last))


called(None, lambda x: L.Dropout(0.5, **P)(x))
called(None, lambda x: L.Dropout(0.5, **P)(x, training=False))
called("training = True", lambda x: L.Dropout(0.5, **P)(x, training=True))
called("training = True", lambda x: L.BatchNormalization(**P)(x, training=True))
inner = keras.Sequential([keras.Input((10, 10, 4)), L.Conv2D(4, 3), L.BatchNormalization()], **P)
called(None, lambda x: inner(x, training=False))
inner = keras.Sequential([keras.Input((10, 10, 4)), L.Conv2D(4, 3), L.BatchNormalization()], **P)
called("training = True", lambda x: inner(x, training=True))
called("one output", lambda x: L.Dropout(0.5, **P)(x), lambda middle, last: [middle, last])


@keras.saving.register_keras_serializable("mine")
class Flatten(L.Flatten):
    def call(self, x):
        return super().call(2 * x)


case("Flatten", Flatten(**P))

rng = np.random.default_rng(3)
images = (rng.integers(0, 256, (12, side, side, 3)) * rng.uniform(0, 1, (12, 1, 1, 3))).astype(
    "uint8"
)
answers, expected = {"images": images}, {}
for number, (name, (said, model)) in enumerate(cases.items()):
    for layer in model._flatten_layers():
        if not isinstance(layer, (keras.Model, L.Normalization)) and said != "dtype|arrays":
            layer.set_weights(
                [
                    w + 0.3 * np.abs(rng.normal(size=w.shape)) if w.ndim == 1 else w
                    for w in layer.get_weights()
                ]
            )
    if said is None:
        given = images.astype("float32")
        if model.input_shape[3] == 1:
            given = given @ np.array([[0.299], [0.587], [0.114]], "float32")
        answers[name] = np.asarray(model.predict_on_batch(given))
    model.save(f"{out}/{name}.keras")
    # The same settings in the older form: a third shows that they are read alike.
    if number % 3 == 0:
        with contextlib.suppress(TypeError):  # Keras itself cannot write some augmentations to it
            model.save(f"{out}/{name}.h5")
    expected[name] = said
np.savez(f"{out}/answers.npz", **answers)
Path(f"{out}/expected.json").write_text(json.dumps(expected))
