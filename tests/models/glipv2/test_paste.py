"""Masks of boxes as masks of images, in both conventions."""

import torch
from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask

from mmclip.models.glipv2.paste import paste


def random_masks() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    masks = torch.rand(5, 14, 14, generator=generator)
    corners = torch.rand(5, 2, generator=generator) * 30 - 5
    extents = torch.rand(5, 2, generator=generator) * 25 + 1
    return masks, torch.cat([corners, corners + extents], 1)


def test_agrees_with_the_host():
    masks, boxes = random_masks()
    theirs, _ = _do_paste_mask(masks[:, None], boxes, 40, 50, skip_empty=False)
    assert torch.equal(paste(masks, boxes, (40, 50)), theirs > 0.5)


def test_a_full_mask_fills_its_box():
    pasted = paste(torch.ones(1, 28, 28), torch.tensor([[3.0, 2.0, 9.0, 6.0]]), (12, 16))
    expected = torch.zeros(1, 12, 16, dtype=torch.bool)
    expected[0, 2:6, 3:9] = True
    assert torch.equal(pasted, expected)


def test_pasting_fills_whole_pixels_of_the_grown_box():
    full = torch.ones(2, 28, 28)
    boxes = torch.tensor([[3.0, 2.0, 9.0, 6.0], [-5.0, 8.0, 4.0, 30.0]])
    pasted = paste(full, boxes, (12, 16), inclusive=True)
    expected = torch.zeros(2, 12, 16, dtype=torch.bool)
    expected[0, 1:7, 2:10] = True  # grown by 30 / 28, rounded to zero, both ends included
    expected[1, 8:12, 0:5] = True
    assert torch.equal(pasted, expected)
    left = full.clone()
    left[:, :, 14:] = 0
    columns = paste(left, torch.tensor([[0.0, 0.0, 9.0, 9.0]] * 2), (12, 16), inclusive=True)
    assert columns[0].any(0).nonzero()[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert not paste(full, boxes + 100, (12, 16), inclusive=True).any()
    assert paste(full[:0], boxes[:0], (12, 16), inclusive=True).shape == (0, 12, 16)


def test_pasting_agrees_with_resizing_one_by_one(monkeypatch):
    import mmclip.models.glipv2.paste as module

    monkeypatch.setattr(module, 'PIXELS_AT_ONCE', 40 * 50 * 2)  # two masks at a time
    masks, boxes = random_masks()
    pasted = paste(masks, boxes, (40, 50), inclusive=True)
    for index in range(5):
        x1, y1, x2, y2 = boxes[index].tolist()
        grow = 16 / 14 / 2
        cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
        left, right = int(cx - (x2 - x1) * grow), int(cx + (x2 - x1) * grow)
        top, bottom = int(cy - (y2 - y1) * grow), int(cy + (y2 - y1) * grow)
        padded = torch.nn.functional.pad(masks[index], (1, 1, 1, 1))[None, None]
        size = bottom - top + 1, right - left + 1
        resized = torch.nn.functional.interpolate(padded, size, mode='bilinear')[0, 0] > 0.5
        for y in range(max(top, 0), min(bottom + 1, 40)):
            for x in range(max(left, 0), min(right + 1, 50)):
                assert pasted[index, y, x] == resized[y - top, x - left]
        assert pasted[index].sum() <= resized.sum()
