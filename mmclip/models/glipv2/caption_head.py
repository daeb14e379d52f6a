"""Captions of images: words that look back only, written by asking for one mask at a time."""

from collections.abc import Callable

import torch

from mmclip.models.glipv2.mlm_head import MLMHead
from mmclip.registry import MODELS

Encode = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def backward_attention(mask: torch.Tensor) -> torch.Tensor:
    """Which tokens each token may look at: those in front of it and itself, no padding.

    Shapes:
        (B, T) bool, True for tokens -> (B, T, T) bool; rows look at columns.
    """
    width = mask.shape[1]
    before = torch.ones(width, width, dtype=torch.bool, device=mask.device).tril()
    return before & mask[:, None].bool()


@MODELS.register_module()
class CaptionHead(MLMHead):
    """The head for hidden words, used to write a caption from left to right.

    Source: GLIPv2, appendix: fine-tuning as sequence-to-sequence masked modeling; tokens attend to
    the left only (:func:`backward_attention`), the image does not attend to the text. The
    official code has nothing of it.
    """

    @torch.no_grad()
    def generate(
        self,
        encode: Encode,
        batch: int,
        *,
        start_id: int,
        end_id: int,
        mask_id: int,
        max_tokens: int = 40,
    ) -> list[list[int]]:
        """The likeliest word at each place, until the end.

        The text so far and a mask are encoded; the mask's word is put in its place; and so on.

        Args:
            encode: Fused word features (B, t, D) of tokens (B, t) which may look at (B, t, t).
            batch: Images B.
            start_id, end_id, mask_id: The tokenizer's.
            max_tokens: Most words of a caption.

        Returns:
            Tokens of each caption, without start and end.
        """
        device = self.decoder.weight.device
        text = torch.full((batch, 1), start_id, device=device)
        open_ = torch.ones(batch, dtype=torch.bool, device=device)
        for _ in range(max_tokens):  # words follow one another
            ids = torch.cat([text, torch.full((batch, 1), mask_id, device=device)], 1)
            attention = backward_attention(torch.ones_like(ids, dtype=torch.bool))
            word = self(encode(ids, attention)[:, -1]).argmax(1)
            word = torch.where(open_, word, end_id)
            text = torch.cat([text, word[:, None]], 1)
            open_ &= word != end_id
            if not bool(open_.any()):
                break
        captions = text[:, 1:].tolist()
        return [row[: row.index(end_id)] if end_id in row else row for row in captions]
