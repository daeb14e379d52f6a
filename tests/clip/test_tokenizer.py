"""CLIP's tokenizer under both conventions (the official cases are in tests/parity)."""

import pytest
import torch

from mmclip.clip.tokenizer import CLIPTokenizer
from mmclip.registry import TASK_UTILS

START, END = 49406, 49407


def test_special_strings_under_both_conventions():
    ours, openai = CLIPTokenizer(), CLIPTokenizer(special='openai')
    assert openai('<|endoftext|>')[0, :3].tolist() == [START, END, END]
    assert ours('<end_of_text>')[0, :3].tolist() == [START, END, END]
    assert END not in ours.encode('<|endoftext|>')
    assert END not in openai.encode('<end_of_text>')
    assert torch.equal(ours('a photo of a cat.'), openai('a photo of a cat.'))


def test_a_cut_text_keeps_its_end_token():
    ids = CLIPTokenizer(context_length=5)(['one two three four five', 'one'])
    assert ids.dtype == torch.int64 and ids.shape == (2, 5)
    assert ids[0, -1] == END and ids[1, 2] == END and ids[1, 3] == 0


def test_without_cutting_a_long_text_raises():
    tokenizer = CLIPTokenizer(truncate=False)
    assert tokenizer('cat ' * 75)[0, -1] == END
    with pytest.raises(ValueError, match='78 tokens do not fit into 77'):
        tokenizer('cat ' * 76)


def test_empty_list_and_registry():
    tokenizer = TASK_UTILS.build(dict(type='mmclip.CLIPTokenizer', special='openai'))
    assert tokenizer([]).shape == (0, 77)
    with pytest.raises(ValueError, match='openai'):
        CLIPTokenizer(special='hf')
