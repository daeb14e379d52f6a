"""Texts for grounded detection: captions made of class names, and captions that people wrote.

Both leave in ``results``: ``text``; ``phrase_spans`` (for each phrase its ranges of characters);
``phrase_labels`` (the dataset's class of each phrase, -1 for free text); ``text_type`` ('det' or
'grounding'); ``maskable_spans`` (what masked language modeling may hide); and ``gt_bboxes_labels``
as numbers of phrases. Which tokens a phrase has is the model's business, whose tokenizer it is.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.datasets.transforms import PackDetInputs

from mmclip.datasets.transforms.class_sampling import draw_negatives, fitting_positives
from mmclip.registry import TASK_UTILS, TRANSFORMS
from mmclip.text.captions import SEPARATOR, class_caption, prompt_parts, separate_phrases
from mmclip.text.class_chunks import SPECIAL_TOKENS
from mmclip.text.class_names import class_names, novel_names
from mmclip.text.offset_tokenizers import OffsetTokenizer

TEXT_KEYS = ('text', 'text_type', 'phrase_spans', 'phrase_labels', 'maskable_spans')
# mmdet's inference: a text that comes with an image; the model finds its phrases.
PROMPT_KEYS = ('custom_entities', 'tokens_positive')
EVAL_KEYS = ('phrase_boxes', 'phrase_types')
PER_BOX = ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags', 'gt_masks')
BERT = dict(type='mmclip.BertTokens')


def keep_boxes(results: dict, keep: np.ndarray) -> None:
    """Leave out the boxes, with their labels and masks, where ``keep`` (N,) is False."""
    for key in PER_BOX:
        if key in results:
            results[key] = results[key][keep]


@TRANSFORMS.register_module()
class DetToGrounding(BaseTransform):
    """Class names of a detection dataset become a caption, labels become numbers of its phrases.

    The caption holds the classes that are there and a sample of those that are not, in random
    order: with probability ``full_prob`` as many as ``num_negatives`` are drawn, else a uniform
    number from 1 to that; of the drawn ones those that are there drop out, and negatives are added
    while the caption fits ``max_tokens``. Classes that are there but do not fit lose their boxes.
    Random numbers are NumPy's global ones. Boxes of crowds are left out, as in the official code.

    Source: official ``convert_object_detection_to_grounding_optimized_for_od``. It takes negatives
    in the order of a Python set, so small class numbers stay in front where room is short, and may
    draw class 0, 'background'; here the order is random and a background is no class.

    Args:
        tokenizer: Config of the text tower's tokenizer.
        max_tokens: T of the text tower, special tokens included.
        num_negatives: Most classes that are drawn.
        full_prob: Share of the captions with that many.
        max_classes: Most classes of a caption that has negatives (the paper: 85); None for no
            limit (the code).
        negatives: Which classes may be drawn. In open-vocabulary training novel things are in the
            images without boxes, so their names must not count as absent. 'dataset': those of
            the dataset but its ``unlabeled_classes`` (``mmclip.OpenVocabLVISDataset``: novel ones
            without a box in the file, or with ``drop_novel_boxes``). None: all. Otherwise names,
            or a known vocabulary for those of it that are not novel.
        all_classes: Every class, in the dataset's order, nothing drawn: for fine-tuning on a few
            classes, and for testing with texts of the dataset's own (ODinW).
        overflow: What happens if all classes do not fit: 'error', or 'cut': the text tower reads
            as many as it can, as in the official code.
        separator: Between two classes.

    Raises:
        ValueError: a dataset that does not hand over its classes (``return_classes=True``), or
            none of whose classes are among the ``negatives`` that are named; ``all_classes`` that
            do not fit; settings out of range.
    """

    def __init__(
        self,
        *,
        tokenizer: dict = BERT,
        max_tokens: int = 256,
        num_negatives: int = 85,
        full_prob: float = 0.5,
        max_classes: int | None = None,
        negatives: str | Sequence[str] | None = 'dataset',
        all_classes: bool = False,
        overflow: str = 'error',
        separator: str = SEPARATOR,
    ) -> None:
        if num_negatives < 0:
            raise ValueError(f'num_negatives: {num_negatives}; allowed are 0 and more')
        if not 0 <= full_prob <= 1:
            raise ValueError(f'full_prob: {full_prob}; allowed are 0 to 1')
        if overflow not in ('error', 'cut'):
            raise ValueError(f"overflow: {overflow!r}; allowed are 'error' and 'cut'")
        self.tokenizer: OffsetTokenizer = TASK_UTILS.build(tokenizer)
        self.overflow = overflow
        self.room = max_tokens - SPECIAL_TOKENS
        self.num_negatives, self.full_prob = num_negatives, full_prob
        self.max_classes, self.all_classes, self.separator = max_classes, all_classes, separator
        self.from_dataset = negatives == 'dataset'
        if self.from_dataset:
            negatives = None
        elif isinstance(negatives, str):
            novel = novel_names(negatives)
            negatives = [name for name in class_names(negatives) if name not in novel]
        self.negatives = None if negatives is None else frozenset(negatives)
        self._of_classes: dict[tuple, tuple] = {}

    def _prepared(
        self,
        classes: tuple[str, ...],
        prompts: Mapping[str, Mapping],
        unlabeled: frozenset[str],
    ) -> tuple[list[int], np.ndarray]:
        """Cost in tokens of each class, and the numbers of those that may be drawn."""
        key = classes, str(prompts), unlabeled
        if key not in self._of_classes:
            words = (''.join(prompt_parts(name, prompts.get(name, {}))) for name in classes)
            costs = self.tokenizer.count([text + self.separator for text in words])
            allowed = [
                i
                for i, name in enumerate(classes)
                if name not in unlabeled and (self.negatives is None or name in self.negatives)
            ]
            if not allowed and self.negatives is not None and self.num_negatives:
                raise ValueError(
                    f'negatives: none of the {len(classes)} classes of the dataset, e.g. '
                    f"{classes[0]!r}, is among them; take negatives='dataset'"
                )
            self._of_classes[key] = costs, np.array(allowed, dtype=np.int64)
        return self._of_classes[key]

    def transform(self, results: dict) -> dict:
        classes = _classes_of(results)
        # mmdet's: class -> prefix, name, suffix.
        prompts = results.get('caption_prompt') or {}
        unlabeled = results.get('unlabeled_classes', ()) if self.from_dataset else ()
        costs, allowed = self._prepared(classes, prompts, frozenset(unlabeled))
        labels = results.get('gt_bboxes_labels', np.zeros(0, dtype=np.int64))
        if 'gt_ignore_flags' in results and not self.all_classes:
            keep_boxes(results, ~np.asarray(results['gt_ignore_flags'], dtype=bool))
            labels = results['gt_bboxes_labels']
        if self.all_classes:
            chosen = self._all(classes, costs, results.get('img_path'))
        else:
            chosen = self._sample(labels, costs, allowed)
        caption = None
        if chosen:
            caption = class_caption(
                [classes[i] for i in chosen],
                separator=self.separator,
                prompts=[prompts.get(classes[i], {}) for i in chosen],
            )
        place_of = np.full(len(classes), -1)
        place_of[chosen] = np.arange(len(chosen))
        if 'gt_bboxes_labels' in results:
            places = place_of[labels] if len(labels) else np.zeros(0, dtype=np.int64)
            results['gt_bboxes_labels'] = places
            keep_boxes(results, places >= 0)
        spans = caption.spans if caption else ()
        present = np.unique(results.get('gt_bboxes_labels', ())).astype(int).tolist()
        results.update(
            text=caption.text if caption else '',
            text_type='det',
            phrase_spans=_as_lists(spans),
            phrase_labels=list(chosen),
            maskable_spans=[list(piece) for place in present for piece in spans[place]],
        )
        return results

    def _all(self, classes: tuple[str, ...], costs: list[int], where: str | None) -> list[int]:
        if sum(costs) > self.room and self.overflow == 'error':
            raise ValueError(
                f'all_classes: the {len(classes)} classes of {where} have {sum(costs)} tokens, '
                f'more than the {self.room} of a caption; draw some (all_classes=False) and let '
                'the model test with its own vocabulary, which comes in several captions'
            )
        return list(range(len(classes)))

    def _sample(self, labels: np.ndarray, costs: list[int], allowed: np.ndarray) -> list[int]:
        rng = np.random.mtrand._rand
        present = np.unique(labels).tolist()
        kept, spent = fitting_positives(present, costs, self.room, rng)
        limit = self.num_negatives
        if self.max_classes is not None:
            limit = max(min(limit, self.max_classes - len(kept)), 0)
        absent = draw_negatives(
            present, allowed, costs, self.room - spent, rng, limit=limit, full_prob=self.full_prob
        )
        return [int(i) for i in rng.permutation(np.array(absent + kept, dtype=np.int64))]


def _classes_of(results: dict) -> tuple[str, ...]:
    classes = results.get('text')
    if isinstance(classes, Mapping):  # mmdet's label map: number -> name
        classes = [classes[key] for key in sorted(classes, key=int)]
    if classes is None or isinstance(classes, str):
        raise ValueError(
            f'text: {results.get("img_path")} comes without the names of its classes; set '
            'return_classes=True of the dataset (captions go to mmclip.CaptionGrounding)'
        )
    return tuple(classes)


def _as_lists(spans: Sequence[Sequence[Sequence[int]]]) -> list[list[list[int]]]:
    return [[[int(start), int(end)] for start, end in pieces] for pieces in spans]


@TRANSFORMS.register_module()
class CaptionGrounding(BaseTransform):
    """A caption with phrases, cut to what the text tower reads.

    Needs ``text`` and ``phrase_spans``, and labels that are numbers of phrases, as the grounding
    datasets give them. What comes behind ``max_tokens`` is cut from the text; phrases that lie
    there lose their spans and their boxes, but keep their numbers.

    Args:
        tokenizer: Config of the text tower's tokenizer.
        max_tokens: T of the text tower, special tokens included.
        apart: Whether the phrases alone become the caption, a full stop between them, for a text
            tower that reads parts apart (``mmclip.CLIPTokenEncoder``).

    Raises:
        ValueError: a caption that is no text; an image whose classes are names.
    """

    def __init__(
        self, *, tokenizer: dict = BERT, max_tokens: int = 256, apart: bool = False
    ) -> None:
        self.tokenizer: OffsetTokenizer = TASK_UTILS.build(tokenizer)
        self.max_tokens, self.apart = max_tokens, apart

    def transform(self, results: dict) -> dict:
        text = results.get('text')
        if isinstance(text, str) and 'phrase_spans' not in results and PROMPT_KEYS[0] in results:
            return results
        if not isinstance(text, str) or 'phrase_spans' not in results:
            raise ValueError(
                f'text: {results.get("img_path")} needs a caption and phrase_spans; class names go '
                'to mmclip.DetToGrounding'
            )
        spans = _as_lists(results['phrase_spans'])
        if self.apart:
            caption = separate_phrases(text, spans)
            text, spans = caption.text, _as_lists(caption.spans)
        batch = self.tokenizer([text], self.max_tokens + 1, pad=False)
        if batch.ids.shape[1] > self.max_tokens:
            end = int(batch.offsets[0, self.max_tokens - SPECIAL_TOKENS, 1])
            text = text[:end]
            spans = [[[a, min(b, end)] for a, b in pieces if a < end] for pieces in spans]
        if 'gt_bboxes_labels' in results:
            known = np.array([bool(pieces) for pieces in spans] + [False])
            labels = np.asarray(results['gt_bboxes_labels'])
            keep = known[np.where(labels < len(spans), labels, -1)]
            if 'gt_ignore_flags' in results:
                keep &= ~np.asarray(results['gt_ignore_flags'], dtype=bool)
            keep_boxes(results, keep)
        results.update(
            text=text,
            text_type='grounding',
            phrase_spans=spans,
            phrase_labels=list(results.get('phrase_labels', [-1] * len(spans))),
            maskable_spans=[[0, len(text)]]
            if self.apart
            else results.get('maskable_spans', [[0, len(text)]]),
        )
        return results


@TRANSFORMS.register_module()
class PackGroundingInputs(PackDetInputs):
    """mmdet's packing with the texts of :class:`DetToGrounding` and :class:`CaptionGrounding`.

    Args:
        meta_keys: As mmdet's, in addition to the texts.
    """

    def __init__(
        self,
        meta_keys: Sequence[str] = (
            'img_id',
            'img_path',
            'ori_shape',
            'img_shape',
            'scale_factor',
            'flip',
            'flip_direction',
        ),
    ) -> None:
        super().__init__(meta_keys=(*meta_keys, *TEXT_KEYS, *EVAL_KEYS, *PROMPT_KEYS))
