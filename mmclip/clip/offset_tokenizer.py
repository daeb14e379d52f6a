"""CLIP's tokenizer that says which characters each token covers."""

import re
from functools import cached_property, lru_cache

from open_clip import SimpleTokenizer
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from mmclip.registry import TASK_UTILS
from mmclip.text.offset_tokenizers import OffsetTokenizer

CLIP_WORDS = r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""
CLIP_STOP = re.compile(r'[!-/:-@\[-`{-~]*\.</w>')  # ASCII punctuation up to a full stop
CLIP_MASK_ID = 49404  # an emoji that GLIPv2 takes for the mask, since CLIP has none


@TASK_UTILS.register_module()
class CLIPTokens(OffsetTokenizer):
    """CLIP's byte pairs, from the words that open_clip ships.

    The ids are open_clip's, and what looks like a special token in a text is plain words. The
    padding is the end token once more, as in Hugging Face's CLIP: go by the mask.
    """

    start_id, end_id = 49406, 49407
    pad_id = end_id
    mask_id = CLIP_MASK_ID

    @cached_property
    def stop_ids(self) -> list[int]:
        """Tokens that end in a full stop and hold no letter: '.', but also '..', '!.' and '%.'."""
        return [number for word, number in _clip_vocabulary()[0].items() if CLIP_STOP.match(word)]

    def _build(self) -> Tokenizer:
        words, merges = _clip_vocabulary()
        ends = [word for word in words if words[word] in (self.start_id, self.end_id)]
        start, end = sorted(ends, key=words.get)
        tokenizer = Tokenizer(
            models.BPE(vocab=words, merges=merges, end_of_word_suffix='</w>', unk_token=end)
        )
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Replace(Regex(r'\s+'), ' '), normalizers.Lowercase()]
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(CLIP_WORDS), 'removed', invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f'{start} $A {end}',
            special_tokens=[(start, self.start_id), (end, self.end_id)],
        )
        return tokenizer


@lru_cache(maxsize=1)
def _clip_vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """CLIP's words and merges, as open_clip ships them."""
    plain = SimpleTokenizer()
    return dict(plain.encoder), list(plain.bpe_ranks)
