"""Hiding words, for masked language modeling."""

from collections.abc import Sequence

import torch

from mmclip.models.glipv2.mlm_head import IGNORED
from mmclip.registry import TASK_UTILS
from mmclip.text.offset_tokenizers import OffsetTokenizer, TokenBatch
from mmclip.text.positive_map import maskable_tokens

MASK_SHARE = 0.8  # of the chosen tokens; half of the rest becomes another word
OTHER_SHARE = 0.9


def hide_tokens(
    ids: torch.Tensor,
    draws: torch.Tensor,
    others: torch.Tensor,
    mask_id: int,
    mask: torch.Tensor,
    *,
    ratio: float = 0.15,
    allowed: torch.Tensor | None = None,
    compat: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Replace a share of the tokens; the labels are what stood there.

    A token is chosen if its draw u is below ``ratio``. Of the chosen ones with u / ratio < 0.8
    become the mask, those with < 0.9 another word, the rest stay and are asked for all the same.

    Source: BERT; ``random_word`` of the official code.

    Args:
        ids: Tokens.
        draws: A uniform number in 0-1 for each token.
        others: Random words, used up one after the other where one is needed; at least as many as
            tokens.
        mask_id: The mask's number.
        mask: False for padding, which stays as it is.
        ratio: Share of the tokens.
        allowed: 1 for tokens that may be hidden, 0 or -1 for others; None for all.
        compat: As in the official code, a token with 0 may be hidden too, without being asked for;
            only -1 keeps it. For special tokens and names of classes that are not in the image
            this is noise.

    Shapes:
        (B, T), (B, T), (M,), (B, T), (B, T) -> (B, T) ids, (B, T) labels, -100 where nothing is
        asked.
    """
    chosen = (draws < ratio) & mask
    asked = chosen
    if allowed is not None:
        asked = chosen & (allowed > 0)
        chosen = chosen & (allowed >= 0) if compat else asked
    share = draws / ratio
    to_mask = chosen & (share < MASK_SHARE)
    to_other = chosen & (share >= MASK_SHARE) & (share < OTHER_SHARE)
    hidden = ids.masked_fill(to_mask, mask_id)
    hidden[to_other] = others[: int(to_other.sum())].to(ids)
    return hidden, ids.masked_fill(~asked, IGNORED)


@TASK_UTILS.register_module()
class MaskTokens:
    """Hides words of a batch of texts that :class:`mmclip.GLIPv2Detector` read.

    Which ones may be hidden the data say: ``maskable_spans`` of a sample, ranges of characters (of
    class names only those that are in the image, of a caption all of it).

    Source: the "greenlight map" of the official code, and ``MLM_OBJ_FOR_ONLY_POSITIVE``.

    Args:
        ratio: Share of the tokens.
        texts: Kinds of texts in which words are hidden: ``'det'`` (class names), ``'grounding'``.
        compat: As :func:`hide_tokens`; and without spans even special tokens may go.

    Raises:
        ValueError: a share out of range, an unknown kind.
    """

    def __init__(
        self,
        *,
        ratio: float = 0.15,
        texts: Sequence[str] = ('det', 'grounding'),
        compat: bool = False,
    ) -> None:
        if not 0 < ratio <= 1:
            raise ValueError(f'ratio: {ratio}; allowed are numbers above 0, up to 1')
        unknown = set(texts) - {'det', 'grounding'}
        if unknown or isinstance(texts, str):
            raise ValueError(f"texts: {texts!r}; allowed are 'det' and 'grounding', in a list")
        self.ratio, self.texts, self.compat = ratio, tuple(texts), compat

    def __call__(
        self,
        batch: TokenBatch,
        spans: Sequence[Sequence[Sequence[int]] | None],
        kinds: Sequence[str],
        tokenizer: OffsetTokenizer,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens with some of them hidden, and their labels.

        Args:
            batch: B texts.
            spans: For each text the ranges of characters that may be hidden; None for all.
            kinds: Of each text, ``'det'`` or ``'grounding'``.
            tokenizer: Knows the mask and the number of words.

        Returns:
            (B, T) ids and (B, T) labels, -100 where nothing is asked.
        """
        width = batch.ids.shape[1]
        rows = []
        for index, (pieces, kind) in enumerate(zip(spans, kinds, strict=True)):
            offsets, special = batch.offsets[index], batch.special[index]
            if kind not in self.texts:
                rows.append(torch.full((width,), -1.0))
            elif pieces is None:
                everything = torch.ones(width)
                rows.append(everything if self.compat else everything.masked_fill(special, 0))
            else:
                rows.append(maskable_tokens([pieces], offsets, special, width))
        return hide_tokens(
            batch.ids,
            torch.rand(batch.ids.shape),
            torch.randint(tokenizer.vocab_size, (batch.ids.numel(),)),
            tokenizer.mask_id,
            batch.mask,
            ratio=self.ratio,
            allowed=torch.stack(rows) if rows else None,
            compat=self.compat,
        )
