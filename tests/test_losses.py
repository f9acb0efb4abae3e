"""The loss for partly labelled cases does what its name says."""

import torch

from contourdesk.inference.losses import IGNORE, deep_supervision_loss, partial_dice_ce


def _logits(probabilities: list[float], voxels: int = 8) -> torch.Tensor:
    return torch.tensor(probabilities).log().view(1, -1, 1, 1, 1).expand(1, len(probabilities), voxels, 1, 1).clone()


def test_equals_plain_dice_and_cross_entropy_when_everything_is_known():
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, 6)
    target = torch.randint(0, 3, (2, 4, 5, 6))
    known = torch.ones(2, 3, dtype=torch.bool)
    p = logits.softmax(1)
    onehot = torch.nn.functional.one_hot(target, 3).permute(0, 4, 1, 2, 3).float()
    axes = (0, 2, 3, 4)
    dice = 2 * (p * onehot).sum(axes) / (p.sum(axes) + onehot.sum(axes))
    expected = torch.nn.functional.cross_entropy(logits, target) + (1 - dice[1:]).mean()
    torch.testing.assert_close(partial_dice_ce(logits, target, known), expected)


def test_an_unknown_organ_costs_nothing_on_background():
    target = torch.zeros(1, 8, 1, 1, dtype=torch.long)
    unknown = torch.tensor([[True, True, False]])
    says_unknown_organ = _logits([0.001, 0.001, 0.998])
    says_known_organ = _logits([0.001, 0.998, 0.001])
    assert partial_dice_ce(says_unknown_organ, target, unknown) < 0.1
    assert partial_dice_ce(says_known_organ, target, unknown) > 5


def test_ignored_voxels_change_nothing():
    torch.manual_seed(1)
    logits = torch.randn(1, 3, 6, 4, 4)
    target = torch.randint(0, 3, (1, 6, 4, 4))
    known = torch.ones(1, 3, dtype=torch.bool)
    target[:, 3:] = IGNORE
    other = logits.clone()
    other[:, :, 3:] = 50 * torch.randn_like(other[:, :, 3:])
    torch.testing.assert_close(partial_dice_ce(logits, target, known), partial_dice_ce(other, target, known))


def test_gradient_is_finite_and_deep_supervision_leaves_out_the_coarsest():
    torch.manual_seed(2)
    outputs = [torch.randn(1, 3, n, n, n, requires_grad=True) for n in (8, 4, 2)]
    target = torch.randint(-1, 3, (1, 8, 8, 8))
    deep_supervision_loss(outputs, target, torch.tensor([[True, True, False]])).backward()
    assert outputs[0].grad is not None and torch.isfinite(outputs[0].grad).all()
    assert outputs[1].grad is not None and outputs[1].grad.abs().sum() > 0
    assert outputs[2].grad is None


def test_an_absent_organ_is_not_pressed_down_harder_than_a_present_one_is_lifted():
    """Else an organ that few patches show is never learnt (it happened, with the oesophagus)."""
    logits = torch.zeros(1, 3, 16, 16, 16)
    logits[:, 0] = 4
    known = torch.ones(1, 3, dtype=torch.bool)
    target = torch.zeros(1, 16, 16, 16, dtype=torch.long)
    target[:, 4:8, 4:8, 4:8] = 1
    logits.requires_grad_(True)
    partial_dice_ce(logits, target, known).backward()
    up = -logits.grad[0, 1, 4:8, 4:8, 4:8].mean()
    down = logits.grad[0, 2].mean()
    assert up > 0
    assert down < up
