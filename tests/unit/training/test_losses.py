from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from overread.training.losses import make_loss

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.2, 0.3]])


def test_cross_entropy_is_minus_the_log_probability() -> None:
    loss = make_loss(multilabel=False)(LOGITS, torch.tensor([0, 2]))
    expected = -(F.softmax(LOGITS, 1)[0, 0].log() + F.softmax(LOGITS, 1)[1, 2].log()) / 2
    assert float(loss) == pytest.approx(float(expected))


def test_class_weights_scale_each_image_and_divide_out() -> None:
    weights = torch.tensor([3.0, 1.0, 1.0])
    loss = make_loss(multilabel=False, weights=weights)(LOGITS, torch.tensor([0, 2]))
    one, two = F.cross_entropy(LOGITS, torch.tensor([0, 2]), reduction="none")
    assert float(loss) == pytest.approx(float((3 * one + two) / 4))


def test_several_labels_are_as_many_yes_no_questions() -> None:
    targets = torch.tensor([[1, 0, 1], [0, 0, 0]])
    loss = make_loss(multilabel=True)(LOGITS, targets)
    p = LOGITS.sigmoid()
    expected = -torch.where(targets == 1, p, 1 - p).log().mean()
    assert float(loss) == pytest.approx(float(expected))


def test_positive_weights_scale_only_the_positives() -> None:
    plain, weighted = (
        make_loss(multilabel=True, weights=w) for w in (None, torch.tensor([5.0, 5.0, 5.0]))
    )
    nothing = torch.zeros(2, 3)
    assert float(plain(LOGITS, nothing)) == pytest.approx(float(weighted(LOGITS, nothing)))
    assert float(weighted(LOGITS, nothing + 1)) == pytest.approx(
        5 * float(plain(LOGITS, nothing + 1))
    )


def test_two_logits_with_a_zero_are_the_published_sigmoid() -> None:
    z = torch.tensor([1.3, -0.4])
    targets = torch.tensor([1, 0])
    two = make_loss(multilabel=False)(torch.stack([torch.zeros(2), z], 1), targets)
    one = F.binary_cross_entropy_with_logits(z, targets.float())
    assert float(two) == pytest.approx(float(one))


@pytest.mark.parametrize("multilabel", [False, True])
def test_half_precision_logits_are_summed_in_float32(multilabel: bool) -> None:
    targets = torch.ones(2, 3) if multilabel else torch.tensor([0, 2])
    loss = make_loss(multilabel=multilabel)(LOGITS.bfloat16(), targets)
    assert loss.dtype == torch.float32


def test_smoothing_keeps_a_sure_answer_from_being_free() -> None:
    sure = torch.tensor([[30.0, -30.0]])
    for multilabel, target in ((False, torch.tensor([0])), (True, torch.tensor([[1, 0]]))):
        plain = make_loss(multilabel=multilabel)(sure, target)
        smooth = make_loss(multilabel=multilabel, label_smoothing=0.1)(sure, target)
        assert float(plain) < 1e-6 < float(smooth)
