"""The CLIP adapters on fixtures of other sizes, head counts and depths, made here by open_clip."""

import json
from pathlib import Path

import open_clip
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F

from parity import runner

VIT = dict(
    embed_dim=40,
    image_resolution=24,
    vision_layers=3,
    vision_width=96,
    vision_patch_size=4,
    context_length=9,
    vocab_size=37,
    transformer_width=60,
    transformer_heads=5,
    transformer_layers=1,
    vision_heads=6,
)
RESNET = dict(
    VIT, image_resolution=96, vision_layers=[1, 2, 1, 2], vision_width=6, vision_patch_size=None
)


@torch.no_grad()
def fixture(folder: Path, name: str, config: dict) -> None:
    torch.manual_seed(11)
    resnet = isinstance(config['vision_layers'], list)
    attention = config['vision_width'] * (32 if resnet else 1)
    vision = dict(
        layers=config['vision_layers'],
        width=config['vision_width'],
        patch_size=config['vision_patch_size'],
        image_size=config['image_resolution'],
        head_width=attention // config['vision_heads'],
    )
    text = dict(
        context_length=config['context_length'],
        vocab_size=config['vocab_size'],
        width=config['transformer_width'],
        heads=config['transformer_heads'],
        layers=config['transformer_layers'],
    )
    clip = open_clip.CLIP(config['embed_dim'], vision, text, quick_gelu=True).eval()
    for key, value in clip.named_parameters():
        if value.ndim == 1 or key.endswith('bn3.weight'):
            value.add_(0.1 * torch.randn_like(value))
    image = torch.randn(1, 3, config['image_resolution'], config['image_resolution'])
    ids = torch.randint(1, config['vocab_size'] - 1, (7, config['context_length']))
    ids[torch.arange(7), torch.randint(2, config['context_length'], (7,))] = (
        config['vocab_size'] - 1
    )
    images, texts = clip.encode_image(image), clip.encode_text(ids)
    logits = clip.logit_scale.exp() * F.normalize(images, dim=1) @ F.normalize(texts, dim=1).T
    tensors = {f'state/{k}': v for k, v in clip.state_dict().items()}
    tensors |= {'input/image': image, 'input/text': ids}
    tensors |= {'output/image_features': images, 'output/text_features': texts}
    tensors |= {'output/logits_per_image': logits, 'output/logits_per_text': logits.T}
    tensors = {k: v.contiguous().clone() for k, v in tensors.items()}
    safetensors.torch.save_file(tensors, folder / f'{name}.safetensors')
    (folder / f'{name}.json').write_text(json.dumps(dict(config=config)))
    row = dict(
        name=name,
        kind='tensors',
        files=[f'{name}.safetensors', f'{name}.json'],
        tolerance=dict(rtol=1e-5, atol=1e-5),
    )
    (folder / 'cases.json').write_text(json.dumps([row]))


@pytest.mark.parametrize(('name', 'config'), [('vit_forward', VIT), ('rn_forward', RESNET)])
def test_other_sizes(name, config, tmp_path, capsys):
    fixture(tmp_path, name, config)
    assert runner.main(['clip_zero_shot', '--dir', str(tmp_path)]) == 0
    assert '1 passed, 0 failed' in capsys.readouterr().out


def test_wrong_weights_fail(tmp_path, capsys):
    fixture(tmp_path, 'vit_forward', VIT)
    path = tmp_path / 'vit_forward.safetensors'
    tensors = safetensors.torch.load_file(path)
    tensors['state/visual.proj'][0, 0] += 1
    safetensors.torch.save_file(tensors, path)
    assert runner.main(['clip_zero_shot', '--dir', str(tmp_path)]) == 1
    assert 'image_features' in capsys.readouterr().out
