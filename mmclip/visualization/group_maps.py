"""Images of how a grouping model cut an image up, with the word that each group got."""

from pathlib import Path

import cv2
import numpy as np
from mmengine.structures import BaseDataElement

from mmclip.io.atomic import write_image
from mmclip.visualization.word_masks import paint


def group_names(groups: np.ndarray, labels: np.ndarray, names: list[str]) -> list[str]:
    """'3: cat' for each group number: its most frequent label.

    Shapes:
        groups and labels (H, W).
    """
    count = int(groups.max(initial=-1)) + 1
    table = np.bincount((groups * len(names) + labels).ravel(), minlength=count * len(names))
    best = table.reshape(count, len(names)).argmax(1)
    return [f'{number}: {names[label]}' for number, label in enumerate(best)]


def draw_groups(
    image: np.ndarray, sample: BaseDataElement, out_file: str | Path, min_size: int = 512
) -> None:
    """Paint the groups of a result over its image.

    Args:
        image: uint8 BGR (H, W, 3).
        sample: With ``pred_groups``, ``pred_sem_seg`` and ``label_names``.
        out_file: Where the PNG goes.
        min_size: An image whose longer side is shorter is enlarged by a whole factor.

    Raises:
        ValueError: the sample has no groups.
    """
    if 'pred_groups' not in sample:
        raise ValueError(
            "sample: no groups; mmclip.GroupViTSegmentor gives them with test_cfg.mode='whole'"
        )
    groups = sample.pred_groups.data[0].cpu().numpy()
    labels = sample.pred_sem_seg.data[0].cpu().numpy()
    names = group_names(groups, labels, list(sample.label_names))
    factor = max(1, round(min_size / max(image.shape[:2])))
    size = (factor * image.shape[1], factor * image.shape[0])
    image = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC) if factor > 1 else image
    groups = groups.repeat(factor, axis=0).repeat(factor, axis=1)
    drawn = paint(np.ascontiguousarray(image[:, :, ::-1]), groups, names)
    write_image(out_file, drawn[:, :, ::-1])
