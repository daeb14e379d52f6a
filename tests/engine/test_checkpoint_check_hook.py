"""What is said when a checkpoint, the model and the test data do not belong together."""

import copy
import logging

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from toy_runs import write_config

from mmclip.engine.checkpoint_check_hook import CheckpointCheckHook, difference
from mmclip.text import dataset_meta


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp('check')
    cfg = Config.fromfile(write_config(folder))
    cfg.merge_from_dict({'train_cfg.max_iters': 5, 'work_dir': str(folder / 'a')})
    Runner.from_cfg(copy.deepcopy(cfg)).train()
    return cfg


def runner(config, checkpoint, **options):
    cfg = copy.deepcopy(config)
    cfg.merge_from_dict({'load_from': str(checkpoint), **options})
    return Runner.from_cfg(cfg)


@pytest.fixture
def content(config):
    return torch.load(f'{config.work_dir}/last.pth')


def save(content, path):
    torch.save(content, path)
    return path


def test_testing_and_resuming_and_starting_with_its_own_checkpoint(config, caplog):
    own = f'{config.work_dir}/last.pth'
    assert 'acc' in runner(config, own).test()
    runner(config, own).train()
    run = runner(config, own, resume=True, **{'train_cfg.max_iters': 6})
    run.train()
    assert run.iter == 6
    assert 'trained on' not in caplog.text


def test_another_model_is_an_error_in_all_three(config, content, tmp_path):
    state = content['state_dict']
    state['other.x.weight'] = state.pop('head.weight')
    path = save(content, tmp_path / 'other.pth')
    message = (
        r'other\.pth does not fit the model: it lacks 1 weight \(head: 1\) of the model; it has '
        r'1 weight \(other\.x: 1\) that the model has not\. .*--allow-mismatch'
    )
    with pytest.raises(ValueError, match=message):
        runner(config, path).test()
    with pytest.raises(ValueError, match=message):
        runner(config, path, resume=True).train()
    with pytest.raises(ValueError, match=rf'{message}, or list the parts .*new_modules'):
        runner(config, path).train()


def test_resuming_is_an_option_and_new_modules_are_for_starting_only(config, content, tmp_path):
    content['state_dict']['other'] = content['state_dict'].pop('head.weight')
    path = save(content, tmp_path / 'other.pth')
    check = 'default_hooks.checkpoint_check.'
    assert 'acc' in runner(config, path, **{f'{check}allow_mismatch': True}).test()
    named = {f'{check}new_modules': ['head', 'other']}
    runner(config, path, **named).train()
    with pytest.raises(ValueError, match='lacks 1 weight'):
        runner(config, path, **named).test()
    with pytest.raises(ValueError, match="new_modules: 'head' must be a list"):
        CheckpointCheckHook(new_modules='head')


def test_other_shapes_and_bare_state_dicts(config, content, tmp_path):
    state = content['state_dict']
    bare = save(dict(state), tmp_path / 'bare.pth')
    plain = copy.deepcopy(config)
    plain.custom_hooks = []  # EMAHook asks for state_dict
    assert 'acc' in runner(plain, bare).test()
    state['head.weight'] = torch.zeros(3, 3)
    path = save(content, tmp_path / 'shape.pth')
    with pytest.raises(ValueError, match=r'1 weight do not fit: head\.weight \[3, 3\] in the file'):
        runner(config, path).test()


def test_weights_alone_are_no_run_to_resume(config, content, tmp_path):
    for number, kept in enumerate((['state_dict'], ['state_dict', 'message_hub'])):
        path = save({key: content[key] for key in kept}, tmp_path / f'{number}.pth')
        with pytest.raises(
            ValueError, match=rf'--resume: .*{number}\.pth holds weights, but no .*me'
        ):
            runner(config, path, resume=True).train()
    path = save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(ValueError, match=r'list\.pth holds no named tensors'):
        runner(config, path).test()


def test_a_foreign_or_damaged_file_is_named(config, tmp_path):
    (tmp_path / 'text.pth').write_text('hello')
    save(dict(state_dict=dict(a=torch.ones(1)), optimizer=pytest.approx(1)), tmp_path / 'o.pth')
    for name, message in (
        ('text', r'text\.pth is cut off, damaged'),
        ('o', r'o\.pth: optimizer holds .*approx.*, which is not read; .*write_state_dict'),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            runner(config, tmp_path / f'{name}.pth').test()
        assert 'weights_only' not in str(caught.value) and '\n' not in str(caught.value)


def test_other_classes_are_said_before_and_after(config, content, tmp_path, caplog):
    content['meta']['dataset_meta'] = dict(classes=['cup', 'dog', 'x', 'y'])
    path = save(content, tmp_path / 'cups.pth')
    run = runner(config, path)
    with caplog.at_level(logging.WARNING, logger=run.logger.name):
        run.logger.addHandler(caplog.handler)
        run.test()
    said = [r.getMessage() for r in caplog.records if 'was trained on' in r.getMessage()]
    assert len(said) == 2
    assert said[0] == (
        'the checkpoint was trained on 4 classes (cup, dog, x, …), the test data '
        '(test_dataloader.dataset) has 2 (a, b): no class in common. Is it the data that you want '
        'to test on?'
    )
    assert said[1] == f'To read the metrics above: {said[0]}'


def test_what_is_said_of_classes():
    assert difference(['a', 'b'], ['b', 'a']) is None
    assert difference([], ['a']) is None and difference(['a'], []) is None
    assert difference(['a', 'b'], ['a']).endswith('has 1 (a): all of them were trained on')
    assert difference(['a'], ['a', 'b', 'c']).endswith('2 were not trained on (b, c)')


def test_classes_of_mixtures():
    assert dataset_meta.classes_of([dict(classes=('a', 'b')), {}, dict(classes=['b', 'c'])]) == (
        'a',
        'b',
        'c',
    )
    for odd in (None, 5, dict(classes=5), dict(classes=[1]), dict(classes='ab'), [5]):
        assert dataset_meta.classes_of(odd) == ()
    one = dict(classes=('a',), palette=[1])
    assert dataset_meta.one_meta(one) is one
    assert dataset_meta.one_meta([one, dict(x=1)]) == dict(classes=('a',))
    parts = [dict(classes=['a', 'b'], novel=['b']), dict(classes=['b', 'c'], novel=['c', 'b'])]
    assert dataset_meta.one_meta(parts) == dict(classes=('a', 'b', 'c'), novel=('b', 'c'))


MIXTURE = {
    'train_dataloader.dataset': dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[dict(type='ToyDataset'), dict(type='ToyDataset', size=4)],
    )
}


def test_a_mixture_is_stored_as_one_data_set(config, tmp_path, caplog, monkeypatch):
    from mmengine.dataset import ConcatDataset

    metas = [dict(classes=('b', 'a')), dict(classes=('c',))]
    monkeypatch.setattr(ConcatDataset, 'metainfo', property(lambda self: metas))
    cfg = copy.deepcopy(config)
    cfg.train_dataloader.dataset = MIXTURE['train_dataloader.dataset']
    del cfg.train_dataloader.dataset['_delete_']
    cfg.work_dir = str(tmp_path / 'mixture')
    Runner.from_cfg(copy.deepcopy(cfg)).train()
    path = tmp_path / 'mixture/last.pth'
    assert torch.load(path)['meta']['dataset_meta'] == dict(classes=('b', 'a', 'c'))
    run = runner(cfg, path, resume=True, **{'train_cfg.max_iters': 6})
    run.logger.addHandler(caplog.handler)
    run.train()
    assert run.iter == 6 and 'dataset metainfo from the resumed' not in caplog.text
