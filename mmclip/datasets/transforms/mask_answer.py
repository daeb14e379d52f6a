"""Questions with answers as captions whose answer is hidden."""

from mmcv.transforms import BaseTransform

from mmclip.registry import TASK_UTILS, TRANSFORMS
from mmclip.text.offset_tokenizers import OffsetTokenizer
from mmclip.text.vqa import mask_answer, mask_text


@TRANSFORMS.register_module()
class MaskAnswerTokens(BaseTransform):
    """Cuts the answer off a caption and moves its boxes to a mask token.

    A caption is a question, a space, and its answer; ``question`` says where the answer begins, as
    ``mmclip.ODVGDataset`` reads it from records. Samples without one stay as they are. Place it
    before ``mmclip.CaptionGrounding``.

    Source: :func:`mmclip.text.vqa.mask_answer`.

    Args:
        tokenizer: Config of the text tower's tokenizer, which knows the mask.
    """

    def __init__(self, *, tokenizer: dict) -> None:
        self.tokenizer: OffsetTokenizer = TASK_UTILS.build(tokenizer)

    def transform(self, results: dict) -> dict:
        if results.get('question') is None:
            return results
        caption = mask_answer(
            results['question'],
            results['text'],
            results['phrase_spans'],
            mask_text(self.tokenizer),
        )
        results['text'] = caption.text
        results['phrase_spans'] = [[list(piece) for piece in pieces] for pieces in caption.spans]
        return results
