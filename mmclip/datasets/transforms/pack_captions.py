"""Captions of other images as negatives."""

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform

from mmclip.registry import TASK_UTILS, TRANSFORMS
from mmclip.text.captions import Caption, absent_phrases, pack_captions, separate_phrases
from mmclip.text.class_chunks import SPECIAL_TOKENS
from mmclip.text.offset_tokenizers import OffsetTokenizer


def fitting_captions(
    own: int, lengths: Sequence[int], max_tokens: int, order: Sequence[int]
) -> list[int]:
    """Which captions fit beside the image's own one.

    Source: official ``CaptionTSV.pack_caption``: every caption counts with two special tokens, one
    token is left over, and one that is too long does not keep shorter ones out.

    Args:
        own: Tokens of the image's caption, special ones included.
        lengths: Of the others.
        max_tokens: T.
        order: In which the others are tried.
    """
    room = max_tokens - own
    kept = []
    for index in order:
        if lengths[index] < room:
            kept.append(int(index))
            room -= lengths[index]
    return kept


@TRANSFORMS.register_module()
class PackCaptions(BaseTransform):
    """Puts captions of other images around the image's own one, as negatives.

    With probability ``none_prob`` none; of the rest, with ``full_prob`` as many as ``number``, else
    a uniform number from ``least`` to ``number - 1``. Only those that fit are taken, in random
    order, each with a full stop. Place it before ``mmclip.CaptionGrounding``; the dataset must
    hand over its captions (``mmclip.ODVGDataset`` and the other grounding sets do). With ``apart``
    that transform must not part the caption again.

    Source: official ``CaptionTSV``; the released L config has the defaults here, the paper says
    none_prob=.3, number=20 (19 others and the own one), full_prob=3/7.

    Args:
        tokenizer: Config of the text tower's tokenizer.
        max_tokens: T of the text tower.
        number: Captions that are drawn.
        none_prob: Share of the images whose caption stays alone.
        full_prob: Of the others, those with ``number`` captions.
        least: Smallest number that is drawn.
        mask_own_only: Masked language modeling may hide words of the own caption only.
        apart: Phrases alone stand in for the captions, as in ``mmclip.CaptionGrounding``; those of
            other images only where they do not overlap with an own one
            (:func:`mmclip.text.captions.absent_phrases`).

    Raises:
        ValueError: settings out of range; a dataset without captions.
    """

    def __init__(
        self,
        *,
        tokenizer: dict,
        max_tokens: int = 256,
        number: int = 20,
        none_prob: float = 0.4,
        full_prob: float = 0.5,
        least: int = 0,
        mask_own_only: bool = False,
        apart: bool = False,
    ) -> None:
        for name, value in (('none_prob', none_prob), ('full_prob', full_prob)):
            if not 0 <= value <= 1:
                raise ValueError(f'{name}: {value}; allowed are 0 to 1')
        if number < 1 or not 0 <= least < number:
            raise ValueError(f'number: {number}, least: {least}; needed is 0 <= least < number')
        self.tokenizer: OffsetTokenizer = TASK_UTILS.build(tokenizer)
        self.max_tokens, self.number, self.least = max_tokens, number, least
        self.none_prob, self.full_prob = none_prob, full_prob
        self.mask_own_only, self.apart = mask_own_only, apart

    def _draw_number(self, rng: np.random.RandomState) -> int:
        if rng.random() < self.none_prob:
            return 0
        if rng.random() < self.full_prob:
            return self.number
        return int(rng.randint(self.least, self.number))

    def transform(self, results: dict) -> dict:
        rng = np.random.mtrand._rand
        caption = Caption(results['text'], results['phrase_spans'])
        if self.apart:
            caption = separate_phrases(caption.text, caption.spans)
            results.update(text=caption.text, phrase_spans=caption.spans)
        number = self._draw_number(rng)
        if not number:
            return results
        if 'caption_pool' not in results:
            raise ValueError(
                f'caption_pool: the dataset of {results.get("img_path")} hands over no other '
                'captions; take mmclip.ODVGDataset or another grounding dataset'
            )
        drawn = results['caption_pool'].draw(number, rng)
        texts = (absent_phrases(one, caption) if self.apart else one.text for one in drawn)
        others = [text for text in texts if text]
        counts = self.tokenizer.count([caption.text, *others])
        own, *lengths = (count + SPECIAL_TOKENS for count in counts)
        kept = fitting_captions(own, lengths, self.max_tokens, rng.permutation(len(others)))
        chosen = [others[index] for index in kept]
        order = rng.permutation(len(chosen) + 1)
        packed, place = pack_captions(caption, chosen, order)
        results['text'] = packed.text
        results['phrase_spans'] = packed.spans
        if self.mask_own_only:
            results['maskable_spans'] = [list(place)]
        return results
