"""Adapters of value cases on settings other than the open fixtures', answered by closed forms."""

import json
import math
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import timm.scheduler
import torch
from mmengine.config import Config

from mmclip import config_path
from parity import runner


def write(folder: Path, name: str, sidecar: dict, tensors: dict | None = None) -> None:
    """A folder with one case; its tolerance is the open one's."""
    files = [f'{name}.json']
    (folder / files[0]).write_text(json.dumps(sidecar))
    if tensors is not None:
        files.append(f'{name}.safetensors')
        safetensors.torch.save_file(tensors, folder / files[1])
    row = dict(name=name, kind='values', files=files, tolerance=dict(rtol=1e-9, atol=1e-12))
    (folder / 'cases.json').write_text(json.dumps([row]))


def verdict(method: str, folder: Path, capsys) -> tuple[int, str]:
    return runner.main([method, '--dir', str(folder)]), capsys.readouterr().out


def test_group_vit_rates_of_a_smaller_batch(tmp_path, capsys):
    config = dict(epochs=3, iters_per_epoch=5, warmup_epochs=1, base_lr=8e-4, warmup_lr=2e-6)
    config |= dict(min_lr=1e-5, batch_per_gpu=64, world_size=8)
    scale = 64 * 8 / 4096
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=8e-4 * scale)
    schedule = timm.scheduler.CosineLRScheduler(
        optimizer,
        t_initial=15,
        lr_min=1e-5 * scale,
        warmup_lr_init=2e-6 * scale,
        warmup_t=5,
        t_in_epochs=False,
    )
    used = []
    for step in range(15):
        used.append(optimizer.param_groups[0]['lr'])
        schedule.step_update(step)
    write(tmp_path, 'lr_schedule', dict(config=config, lr_used_at_step=used))
    status, out = verdict('group_vit', tmp_path, capsys)
    assert status == 0, out


def action_clip_sidecar() -> dict:
    def cosine(epoch: float) -> float:
        if epoch < 3:
            return epoch / 3
        return (1 + math.cos(math.pi * (epoch - 3) / 17)) / 2

    def multistep(epoch: float) -> float:
        return epoch / 4 if epoch < 4 else 0.1 ** ((epoch >= 12) + (epoch >= 26))

    settings = dict(epochs=20, warmup=3, ratio=0.5, f_ratio=4)
    settings['multistep_settings'] = dict(warmup=4, milestones=[12, 26])
    for name, factor, epochs in (
        ('cosine', cosine, (0, 1.5, 3, 9.25, 19)),
        ('multistep', multistep, (0, 3, 4, 11.9, 12, 25, 33)),
    ):
        rows = [(epoch, 2e-5 * factor(epoch)) for epoch in epochs]
        settings[name] = [dict(epoch=e, lr=[lr, lr * 0.5, lr * 4]) for e, lr in rows]
    return settings


def test_action_clip_rates_of_another_recipe(tmp_path, capsys):
    write(tmp_path, 'lr_schedule', action_clip_sidecar())
    status, out = verdict('action_clip', tmp_path, capsys)
    assert status == 0, out


@pytest.mark.parametrize('name', ['epochs', 'warmup', 'ratio', 'f_ratio', 'multistep_settings'])
def test_a_missing_setting_is_not_guessed(name, tmp_path, capsys):
    sidecar = action_clip_sidecar()
    del sidecar[name]
    write(tmp_path, 'lr_schedule', sidecar)
    status, out = verdict('action_clip', tmp_path, capsys)
    assert status == 1 and f"KeyError: '{name}'" in out


def test_action_clips_own_recipe_is_the_official_one():
    wrapper = Config.fromfile(
        config_path('action_clip/action_clip_vit_b32_transf_8f_k400.py')
    ).optim_wrapper
    keys = wrapper.paramwise_cfg.custom_keys
    assert wrapper.optimizer.lr == 5e-6
    assert {name: row.lr_mult for name, row in keys.items()} == {
        'video.visual': 1,
        'video.post_prompt': 10,
    }


def test_glip_phrases_whose_last_has_no_token(tmp_path, capsys):
    vocabulary = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', '.', 'red', 'ball', 'dog']
    spans = [[[0, 3]], [[4, 8]], [[8, 9]]]  # 'red', 'ball', and the blank behind it
    caption = dict(caption='red ball dog', spans=spans)
    caption['label_to_token_from_map'] = {'1': [1], '2': [2], '3': []}
    width = 6
    shares = torch.zeros(3, width)
    shares[0, 1] = shares[1, 2] = 1 / (1 + 1e-6)
    green = torch.tensor([0.0, 1, 1, 0, 0, 0])
    tensors = {
        'input/0.input_ids': torch.tensor([2, 6, 7, 8, 3]),
        'input/0.offsets': torch.tensor([[0, 0], [0, 3], [4, 8], [9, 12], [0, 0]]),
        'output/0.positive_map': shares,
        'output/0.positive_map_binary': (shares > 0).float(),
        'output/0.greenlight_map': green,
        'output/0.greenlight_blocked': torch.full((width,), -1.0),
        'output/0.od_label_map': torch.tensor([-1.0, 5, 6, -1, -1, -1]),
        'output/0.label_to_tokens': torch.tensor([[1, 1], [2, 2]]),
    }
    config = dict(captions=[caption], tokenizer=dict(vocab=vocabulary), width=width)
    write(tmp_path, 'positive_map', dict(config=config), tensors)
    row = json.loads((tmp_path / 'cases.json').read_text())
    row[0]['tolerance'] = dict(rtol=1e-5, atol=1e-5)
    (tmp_path / 'cases.json').write_text(json.dumps(row))
    status, out = verdict('glip', tmp_path, capsys)
    assert status == 0, out


@pytest.mark.parametrize(('heads', 'told'), [(4, 'text_features'), (None, "KeyError: 'heads'")])
def test_lseg_takes_the_text_heads_from_the_sidecar(heads, told, larger_oracles, tmp_path, capsys):
    name = 'lseg_vit16_add'
    shutil.copyfile(larger_oracles / 'lseg' / f'{name}.safetensors', tmp_path / 'x.safetensors')
    tensors = safetensors.torch.load_file(tmp_path / 'x.safetensors')
    sidecar = json.loads((larger_oracles / 'lseg' / f'{name}.json').read_text())
    del sidecar['config']['clip_text']['heads']
    if heads:
        sidecar['config']['clip_text']['heads'] = heads
    write(tmp_path, name, sidecar, tensors)
    status, out = verdict('lseg', tmp_path, capsys)
    assert status == 1 and told in out
