from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from scipy import ndimage

from overread.recipe.schema import Augment
from overread.training.augment import DRAWS, augment, centre_crop, changes_images, sampling_matrices
from overread.training.sampling import epoch_draws

SIZE = (24, 24)


def draws(n: int = 1, **columns: float) -> np.ndarray:
    """Draws of zero but for the named columns."""
    names = ["turn", "shear", "right", "down", "zoom_x", "zoom_y", "flip_x", "flip_y"]
    names += ["brightness", "contrast"]
    table = np.zeros((n, DRAWS), np.float32)
    for name, value in columns.items():
        table[:, names.index(name)] = value
    return table


def picture(n: int = 1, size: tuple[int, int] = SIZE) -> torch.Tensor:
    """A smooth random picture: (n, H, W, 3) uint8."""
    rng = np.random.default_rng(0)
    rough = rng.uniform(0, 255, (n, *size, 3))
    return torch.from_numpy(ndimage.gaussian_filter(rough, (0, 2, 2, 0), mode="wrap").astype("u1"))


def apply(spec: Augment, table: np.ndarray, images: torch.Tensor | None = None) -> torch.Tensor:
    images = picture(len(table)) if images is None else images
    return augment(images, table, spec, tuple(images.shape[1:3]))  # type: ignore[arg-type]


def plain(images: torch.Tensor) -> torch.Tensor:
    return images.permute(0, 3, 1, 2).float()


def test_no_settings_change_nothing() -> None:
    spec = Augment()
    assert not changes_images(spec)
    out = apply(spec, epoch_draws(4, seed=0, epoch=0, columns=DRAWS))
    assert out.dtype == torch.float32
    assert torch.equal(out, plain(picture(4)))


def test_zero_draws_leave_the_picture_where_it_is() -> None:
    spec = Augment(rotation_deg=40, shift=0.2, shear_deg=10, zoom=0.2, fill="reflect")
    assert changes_images(spec)
    assert torch.allclose(apply(spec, draws()), plain(picture()), atol=0.01)


@pytest.mark.parametrize(
    ("spec", "column", "axis"),
    [
        (Augment(horizontal_flip=True), "flip_x", 3),
        (Augment(vertical_flip=True), "flip_y", 2),
    ],
)
def test_a_flip_mirrors_one_axis(spec: Augment, column: str, axis: int) -> None:
    mirrored = apply(spec, draws(**{column: 0.5, "flip_y" if axis == 3 else "flip_x": 0.5}))
    assert torch.allclose(mirrored, plain(picture()).flip(axis), atol=0.01)
    assert torch.allclose(apply(spec, draws(**{column: -0.5})), plain(picture()), atol=0.01)


def test_half_of_the_images_are_flipped() -> None:
    table = epoch_draws(400, seed=0, epoch=0, columns=DRAWS)
    matrices = sampling_matrices(table, Augment(horizontal_flip=True), SIZE)
    assert (matrices[:, 0, 0] < 0).mean() == pytest.approx(0.5, abs=0.08)


def test_a_quarter_turn_is_a_quarter_turn() -> None:
    out = apply(Augment(rotation_deg=90), draws(turn=1.0))
    expected = plain(picture())
    assert torch.allclose(out, torch.rot90(expected, 1, (2, 3)), atol=0.05) or torch.allclose(
        out, torch.rot90(expected, -1, (2, 3)), atol=0.05
    )


def test_a_quarter_of_the_width_is_shifted_and_black_comes_in() -> None:
    out = apply(Augment(shift=0.25, fill="constant"), draws(right=1.0))
    expected = torch.zeros_like(out)
    expected[:, :, :, :18] = plain(picture())[:, :, :, 6:]
    assert torch.allclose(out, expected, atol=0.01)


@pytest.mark.parametrize(("fill", "mode"), [("reflect", "reflect"), ("nearest", "nearest")])
@pytest.mark.parametrize("seed", range(3))
def test_the_whole_change_equals_keras_by_scipy(fill: str, mode: str, seed: int) -> None:
    """Keras's own order: rotation, shift, shear, zoom, one matrix about the centre, (row, col)."""
    size = (30, 22)
    spec = Augment(rotation_deg=40, shift=0.2, shear_deg=15, zoom=0.2, fill=fill)  # type: ignore[arg-type]
    table = epoch_draws(1, seed=seed, epoch=0, columns=DRAWS)
    image = picture(size=size)
    t, s = np.radians(40 * table[0, 0]), np.radians(15 * table[0, 1])
    rotation = np.array([[np.cos(t), -np.sin(t), 0], [np.sin(t), np.cos(t), 0], [0, 0, 1]])
    move = np.eye(3)
    move[:2, 2] = 0.2 * table[0, 3] * size[0], 0.2 * table[0, 2] * size[1]
    shear = np.array([[1, -np.sin(s), 0], [0, np.cos(s), 0], [0, 0, 1]])
    zoom = np.diag([1 + 0.2 * table[0, 5], 1 + 0.2 * table[0, 4], 1])
    matrix = rotation @ move @ shear @ zoom
    centre = (np.array(size) - 1) / 2
    offset = matrix[:2, :2] @ -centre + centre + matrix[:2, 2]
    expected = [
        ndimage.affine_transform(
            image[0, :, :, c].float().numpy(), matrix[:2, :2], offset, order=1, mode=mode
        )
        for c in range(3)
    ]
    out = apply(spec, table, image)[0].numpy()
    assert np.abs(out - np.array(expected)).max() < 0.1


def test_settings_bound_the_change() -> None:
    table = epoch_draws(2000, seed=0, epoch=0, columns=DRAWS)
    turned = sampling_matrices(table, Augment(rotation_deg=15), SIZE)
    degrees = np.degrees(np.arctan2(turned[:, 0, 1], turned[:, 0, 0]))
    assert 14.5 < np.abs(degrees).max() <= 15.001
    moved = sampling_matrices(table, Augment(shift=0.1), SIZE)[:, :, 2]
    assert 0.195 < np.abs(moved).max() <= 0.2001  # a side is 2 long in -1..1
    zoomed = sampling_matrices(table, Augment(zoom=0.1), SIZE)
    scales = np.stack([zoomed[:, 0, 0], zoomed[:, 1, 1]])
    assert 0.9 - 1e-6 <= scales.min() < 0.901 and 1.099 < scales.max() <= 1.1 + 1e-6
    assert not np.allclose(scales[0], scales[1])
    even = sampling_matrices(table, Augment(zoom=0.1, zoom_per_axis=False), SIZE)
    assert np.allclose(even[:, 0, 0], even[:, 1, 1])


def test_every_image_of_a_batch_changes_in_its_own_way() -> None:
    same = picture().repeat(4, 1, 1, 1)
    out = apply(Augment(rotation_deg=30), epoch_draws(4, seed=0, epoch=0, columns=DRAWS), same)
    assert all(not torch.allclose(out[0], out[i], atol=1) for i in (1, 2, 3))


def test_brightness_is_a_factor_and_contrast_keeps_the_mean() -> None:
    image = torch.full((1, 8, 8, 3), 100, dtype=torch.uint8)
    image[:, :4] = 60
    bright = apply(Augment(brightness=0.5), draws(brightness=0.5), image)
    assert torch.allclose(bright, plain(image) * 1.25)
    contrast = apply(Augment(contrast=0.5), draws(contrast=1.0), image)
    assert contrast.unique().tolist() == pytest.approx([50, 110])
    assert apply(Augment(brightness=0.9), draws(brightness=1.0), image * 2).max() <= 255


def test_the_crop_comes_last() -> None:
    image = picture(size=(32, 40))
    out = augment(image, draws(), Augment(rotation_deg=10), (24, 20))
    assert out.shape == (1, 3, 24, 20)
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(out, plain(image)[:, :, 4:28, 10:30], atol=0.01)
    assert centre_crop(plain(image), (32, 40)).shape == (1, 3, 32, 40)


def test_the_same_draws_give_the_same_bits() -> None:
    table = epoch_draws(3, seed=0, epoch=5, columns=DRAWS)
    spec = Augment(rotation_deg=15, shift=0.1, zoom=0.1, fill="reflect", brightness=0.1)
    assert torch.equal(apply(spec, table), apply(spec, table))


def test_a_batch_takes_less_time_than_its_training_step(record_property: object) -> None:
    spec = Augment(rotation_deg=15, shift=0.1, zoom=0.1, horizontal_flip=True, fill="reflect")
    images, table = picture(16, (224, 224)), epoch_draws(16, seed=0, epoch=0, columns=DRAWS)
    apply(spec, table, images)
    start = time.process_time()
    apply(spec, table, images)
    rate = 16 / (time.process_time() - start)
    record_property("images_per_cpu_second", round(rate))  # type: ignore[operator]
    assert rate > 20
