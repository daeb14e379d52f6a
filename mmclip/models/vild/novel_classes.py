"""Which classes are novel, and what becomes of their logits in the classification loss."""

from collections.abc import Sequence

import torch

from mmclip.text.class_names import class_names, novel_names

NOVEL_MASKS = ('exclude', 'official', None)


class NovelMask:
    """Takes novel classes out of the training softmax.

    A region that shows an object of a novel class has no label (it counts as background), so its
    class must not be pushed down as a wrong answer.

    - ``'exclude'``: logit -inf, the class is no answer at all (the paper; DetPro, BARON);
    - ``'official'``: logit times 0, the class stays in the partition sum as ``exp(0)`` without a
      gradient (what the released code does);
    - None: novel classes are ordinary wrong answers.

    Args:
        novel_classes: ``'dataset'`` for those that the dataset calls novel (:meth:`set_novel`
            tells; none until then), a list of names, a known vocabulary whose novel names count
            (``'lvis_v1'``: the rare ones; ``'ov_coco'``), or None for none.
        kind: One of the above.

    Raises:
        ValueError: unknown ``kind`` or vocabulary.
    """

    def __init__(
        self, novel_classes: str | Sequence[str] | None = 'dataset', kind: str | None = 'exclude'
    ) -> None:
        if kind not in NOVEL_MASKS:
            raise ValueError(f'novel_mask: {kind!r} is none of {", ".join(map(repr, NOVEL_MASKS))}')
        self.from_dataset = novel_classes == 'dataset'
        if novel_classes is None or self.from_dataset:
            self.novel = frozenset()
        elif isinstance(novel_classes, str):
            self.novel = novel_names(novel_classes)
        else:
            self.novel = frozenset(class_names(novel_classes))
        self.kind = kind
        self._names: tuple[str, ...] = ()
        self._rows = torch.empty(0, dtype=torch.bool)

    def set_novel(self, names: Sequence[str]) -> None:
        """The novel names of a dataset."""
        self.novel = frozenset(names)
        self._names = ()

    def rows(self, names: tuple[str, ...], device: torch.device | str = 'cpu') -> torch.Tensor:
        """(K,) bool: which of the names are novel."""
        if self._names is not names:
            self._names = names
            self._rows = torch.tensor([name in self.novel for name in names])
        self._rows = self._rows.to(device)
        return self._rows

    def __call__(
        self, logits: torch.Tensor, labels: torch.Tensor, names: tuple[str, ...], sigmoid: bool
    ) -> torch.Tensor:
        """Logits as the loss shall see them.

        Args:
            logits: (N, K + 1) or (N, K).
            labels: (N,) class of each region, K for background.
            names: The K classes.
            sigmoid: Whether the loss is a sigmoid per class (-inf would give NaN there).

        Raises:
            ValueError: a region is labeled with a class that is left out.
        """
        if self.kind is None or not self.novel:
            return logits
        novel = self.rows(names, logits.device)
        mask = novel.new_zeros(logits.shape[1])
        mask[: len(names)] = novel
        if self.kind == 'official':
            return logits * ~mask
        labeled = labels[(labels >= 0) & (labels < len(names))]
        wrong = labeled[novel[labeled]]
        if len(wrong):
            raise ValueError(
                f'annotations: there are training boxes of {names[int(wrong[0])]!r}, a novel class '
                'that is left out of the loss; use an annotation file of base classes only, or set '
                'novel_mask=None'
            )
        return logits.masked_fill(mask, -1e4 if sigmoid else float('-inf'))
