"""Official checkpoints: every key has its place, the CLIP is taken out, strangers are refused."""

import json
from pathlib import Path

import pytest
import torch

from mmclip.cli.convert import convert_file
from mmclip.io.checkpoint import read_state_dict
from mmclip.models.lseg.convert import clip_of, convert, new_name, text_buffers

ROOT = Path(__file__).resolve().parents[3]


def test_names():
    assert new_name('net.pretrained.model.blocks.3.attn.qkv.bias') == (
        'backbone.vit.blocks.3.attn.qkv.bias'
    )
    assert new_name('net.scratch.refinenet2.resConfUnit1.bn2.running_var') == (
        'decode_head.decoder.fusion_blocks.1.unit1.bn2.running_var'
    )
    assert new_name('net.pretrained.layer1.4.2.conv1.weight') == 'backbone.layer1.2.conv1.weight'
    assert new_name('scratch.head_block.depthwise.depthwise.bias') == (
        'decode_head.head_block.conv.bias'
    )
    for name in ('net.pretrained.model.head.bias', 'scratch.refinenet4.resConfUnit1.bn1.bias'):
        assert new_name(name) is None
    with pytest.raises(ValueError, match='net.scratch.layer5'):
        new_name('net.scratch.layer5')


def test_bad_checkpoints():
    with pytest.raises(ValueError, match='no LSeg checkpoint'):
        convert({'backbone.conv1.weight': torch.zeros(1)})
    state = {'net.scratch.head1.weight': torch.zeros(1), 'net.stranger': torch.zeros(1)}
    with pytest.raises(ValueError, match='stranger'):
        convert(state)


def test_half_precision_becomes_float():
    out = convert({'net.scratch.head1.weight': torch.ones(2, 2, 1, 1).half()})
    assert out['decode_head.conv_seg.projection.weight'].dtype == torch.float32


def test_words_are_encoded_by_the_checkpoints_own_clip():
    import torch.nn.functional as F

    from mmclip.clip.loading import build_clip, clip_tokenizer

    config = dict(
        embed_dim=8,
        quick_gelu=True,
        vision_cfg=dict(layers=1, width=64, head_width=64, patch_size=8, image_size=16),
        text_cfg=dict(context_length=77, vocab_size=49408, width=64, heads=1, layers=1),
    )
    clip = build_clip(config)
    state = {f'net.clip_pretrained.{k}': v.half() for k, v in clip.state_dict().items()}
    clip.load_state_dict(clip_of(state))
    buffers = text_buffers(state, ['cat', 'red car'])
    prefix = 'decode_head.conv_seg.classifier.'
    with torch.no_grad():
        rows = F.normalize(clip.encode_text(clip_tokenizer(config)(['cat', 'red car'])), dim=1)
    torch.testing.assert_close(buffers[prefix + 'embeddings'], rows)
    assert json.loads(bytes(buffers[prefix + 'names'].tolist())) == ['cat', 'red car']


class Callback:
    """Stands for Lightning's, which is not installed where the checkpoint is read."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('a checkpoint was run')",))


def test_a_lightning_checkpoint_by_the_command(tmp_path):
    state = {
        'net.scratch.head1.weight': torch.ones(4, 2, 1, 1),
        'net.scratch.head1.bias': torch.ones(4),
        'net.pretrained.model.norm.bias': torch.ones(3),
        'net.clip_pretrained.logit_scale': torch.ones(()).half(),
    }
    content = dict(epoch=200, state_dict=state, callbacks={'early': Callback()})
    torch.save(content, tmp_path / 'demo.ckpt')
    convert_file('lseg', str(tmp_path / 'demo.ckpt'), str(tmp_path / 'out.safetensors'))
    assert sorted(read_state_dict(tmp_path / 'out.safetensors')) == [
        'decode_head.conv_seg.projection.bias',
        'decode_head.conv_seg.projection.weight',
    ]
