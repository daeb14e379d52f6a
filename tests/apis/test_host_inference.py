"""The hosts' own inference gives what mmclip's gives, bit for bit, on our configs as they are."""

from copy import deepcopy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DATASETS, MODELS, init_default_scope

from mmclip import config_path
from mmclip.apis.inferencer import OpenVocabInferencer
from mmclip.datasets.mini_world.make import make

WORDS = ('plain red star', 'dotted blue ring')
DETECTORS = {
    'vild': 'vild/mini/vild_text_r18_mini.py',
    'glip': 'glip/mini/glip_t_mini.py',
    'glipv2': 'glipv2/mini/glipv2_mini.py',
}
SEGMENTORS = {
    'lseg': 'lseg/mini/lseg_r18_mini.py',
    'group_vit': 'group_vit/mini/group_vit_one_stage_mini.py',
}
TEXT = 'a bench. a car'


@pytest.fixture(scope='module')
def image(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('image') / 'image.png'
    cv2.imwrite(str(path), np.random.RandomState(0).randint(0, 255, (96, 128, 3), np.uint8))
    return path


@pytest.fixture(scope='module')
def checkpoints(tmp_path_factory) -> dict[str, tuple[Config, Path]]:
    """Random weights of every mini model that a host infers with, and their configs."""
    folder, made = tmp_path_factory.mktemp('weights'), {}
    for method, name in (DETECTORS | SEGMENTORS).items():
        config = Config.fromfile(config_path(name))
        config.default_hooks = {}
        if 'glip' in method:  # random weights score low
            config.model.test_cfg = dict(config.model.get('test_cfg') or {}, score_thr=0.0)
        init_default_scope(config.default_scope)
        torch.manual_seed(0)
        model = MODELS.build(config.model)
        model.set_classes(WORDS)
        path = folder / f'{method}.pth'
        meta = dict(dataset_meta=dict(classes=WORDS, palette=[(255, 0, 0), (0, 0, 255)]))
        torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
        made[method] = config, path
    return made


def assert_same(found, expected, part: str) -> None:
    found, expected = getattr(found, part), getattr(expected, part)
    keys = [key for key in expected.keys() if key != 'label_names']
    assert len(keys)
    for key in keys:
        assert torch.equal(torch.as_tensor(found.get(key)), torch.as_tensor(expected.get(key))), key


def own(config: Config, path: Path, inputs) -> list:
    infer = OpenVocabInferencer(deepcopy(config), path, device='cpu')
    return infer(inputs, classes=WORDS, score_thr=-1.0)


@pytest.mark.parametrize('method', DETECTORS)
def test_detectors(method, checkpoints, image):
    from mmdet.apis import DetInferencer, inference_detector, init_detector

    config, path = checkpoints[method]
    array = cv2.imread(str(image))
    (expected,) = own(config, path, image)
    assert len(expected.pred_instances)
    model = init_detector(deepcopy(config), str(path), device='cpu')
    # The checkpoint tells the classes of its training.
    assert_same(inference_detector(model, str(image)), expected, 'pred_instances')
    assert model.class_names == WORDS
    model.set_classes(WORDS)
    assert_same(inference_detector(model, str(image)), expected, 'pred_instances')
    for sample in inference_detector(model, [array, array]):
        assert_same(sample, expected, 'pred_instances')
    infer = DetInferencer(deepcopy(config), str(path), device='cpu', show_progress=False)
    infer.model.set_classes(WORDS)
    for inputs in (str(image), array, [array, array]):
        for sample in infer(inputs, return_datasamples=True, batch_size=1)['predictions']:
            assert_same(sample, expected, 'pred_instances')


@pytest.mark.parametrize('method', SEGMENTORS)
def test_segmentors(method, checkpoints, image):
    from mmseg.apis import MMSegInferencer, inference_model, init_model

    config, path = checkpoints[method]
    array = cv2.imread(str(image))
    (expected,) = own(config, path, image)
    model = init_model(deepcopy(config), str(path), device='cpu')
    model.set_classes(WORDS)
    assert_same(inference_model(model, str(image)), expected, 'pred_sem_seg')
    for sample in inference_model(model, [array, array]):
        assert_same(sample, expected, 'pred_sem_seg')
    infer = MMSegInferencer(deepcopy(config), str(path), device='cpu')
    infer.model.set_classes(WORDS)
    for inputs in (str(image), array):
        found = infer(inputs, return_datasamples=True)
        assert_same(found, expected, 'pred_sem_seg')


@pytest.mark.parametrize('frames', [8, 4])
def test_recognizers_sample_as_the_dataset_says(frames, tmp_path, monkeypatch):
    from mmaction.apis import ActionRecogInferencer, inference_recognizer, init_recognizer

    make(tmp_path / 'data/mini_world', parts=('video',), scale=0.005, processes=1, report=len)
    monkeypatch.chdir(tmp_path)
    config = Config.fromfile(config_path('action_clip/mini/action_clip_transf_mini.py'))
    config.model.update(num_frames=frames, classes=list(WORDS))
    config.test_dataloader.dataset.num_segments = frames
    init_default_scope('mmaction')
    dataset = DATASETS.build(config.test_dataloader.dataset)
    torch.manual_seed(0)
    model = MODELS.build(config.model).eval()
    row = dataset.get_data_info(0)
    with torch.no_grad():  # as tools/test.py does
        (expected,) = model.test_step(pseudo_collate([dataset[0]]))
    torch.save(dict(state_dict=model.state_dict()), 'weights.pth')
    before = Compose(config.test_dataloader.dataset.pipeline)(dict(row))['inputs']

    recognizer = init_recognizer(config, 'weights.pth', device='cpu')
    found = inference_recognizer(recognizer, row['filename'])
    assert torch.equal(found.pred_score, expected.pred_score)
    infer = ActionRecogInferencer(config, 'weights.pth', device='cpu')
    found = infer(row['filename'], return_datasamples=True)['predictions'][0]
    assert torch.equal(found.pred_score, expected.pred_score)
    video = np.stack([np.full((64, 64, 3), 9 * i, np.uint8) for i in range(16)])
    infer = ActionRecogInferencer(config, 'weights.pth', device='cpu', input_format='array')
    assert len(infer(video)['predictions'][0]['pred_scores']) == len(WORDS)
    # The config serves tests as before.
    assert torch.equal(
        Compose(config.test_dataloader.dataset.pipeline)(dict(row))['inputs'], before
    )


def test_an_inferencer_reads_files_with_the_loader_of_the_config(checkpoints, image):
    from mmdet.apis import DetInferencer

    config, path = checkpoints['vild']
    config = deepcopy(config)
    config.test_dataloader.dataset.pipeline[0].update(color_type='grayscale', to_float32=True)
    infer = DetInferencer(config, str(path), device='cpu', show_progress=False)
    loader = infer.pipeline.transforms[0]
    assert loader.from_file.color_type == 'grayscale'
    assert loader.from_file.to_float32 and loader.from_ndarray.to_float32


@pytest.mark.parametrize('method', ['glip', 'glipv2'])
def test_a_text_that_comes_with_an_image_is_looked_for(method, checkpoints, image):
    from mmdet.apis import DetInferencer, inference_detector, init_detector

    config, path = checkpoints[method]
    model = init_detector(deepcopy(config), str(path), device='cpu')
    model.set_classes(('a bench', 'a car'))
    expected = inference_detector(model, str(image))
    model.set_classes(WORDS)
    before = inference_detector(model, str(image))
    for inputs in (str(image), [str(image)] * 2):
        samples = inference_detector(model, inputs, text_prompt=TEXT, custom_entities=True)
        for sample in samples if isinstance(inputs, list) else [samples]:
            assert_same(sample, expected, 'pred_instances')
            assert set(sample.pred_instances.label_names) <= {'a bench', 'a car'}
    assert not torch.equal(before.pred_instances.scores, expected.pred_instances.scores)
    assert_same(inference_detector(model, str(image)), before, 'pred_instances')

    infer = DetInferencer(deepcopy(config), str(path), device='cpu', show_progress=False)
    asked = infer(
        [str(image)] * 3,
        texts=[TEXT, 'a bench', f'{TEXT}.'],
        custom_entities=True,
        batch_size=3,
        return_datasamples=True,
    )['predictions']
    for sample in (asked[0], asked[2]):
        found, wanted = sample.pred_instances, expected.pred_instances
        assert found.labels.tolist() == wanted.labels.tolist()
        torch.testing.assert_close(found.scores, wanted.scores, atol=1e-5, rtol=1e-4)
    assert set(asked[1].pred_instances.label_names) == {'a bench'}

    # A caption: its noun phrases, or the ranges that are given.
    free = inference_detector(model, str(image), text_prompt='plain red star')
    assert set(free.pred_instances.label_names) == {'plain red star'}
    ranges = infer(
        str(image), texts='look, a dog', tokens_positive=[[[6, 11]]], return_datasamples=True
    )['predictions'][0]
    assert set(ranges.pred_instances.label_names) == {'a dog'}
    for text, entities, message in (
        ('. .', True, 'names nothing'),
        ('!!', False, 'no noun phrase'),
    ):
        with pytest.raises(ValueError, match=f'text: .*{message}|text: {message}'):
            inference_detector(model, str(image), text_prompt=text, custom_entities=entities)
    with pytest.raises(ValueError, match='tokens_positive: -1 are no ranges'):
        infer(str(image), texts=TEXT, tokens_positive=-1)


def test_vild_says_that_it_reads_no_text_with_an_image(checkpoints, image):
    from mmdet.apis import DetInferencer, inference_detector, init_detector

    config, path = checkpoints['vild']
    model = init_detector(deepcopy(config), str(path), device='cpu')
    with pytest.raises(ValueError, match=r'text_prompt, texts: .*a bench.*set_classes'):
        inference_detector(model, str(image), text_prompt=TEXT, custom_entities=True)
    infer = DetInferencer(deepcopy(config), str(path), device='cpu', show_progress=False)
    with pytest.raises(ValueError, match=r'text_prompt, texts: .*a bench.*set_classes'):
        infer(str(image), texts=TEXT)


def test_a_mask_is_missed_only_where_a_dataset_has_promised_one():
    from mmclip.datasets.transforms.segmentation import LoadSegMap

    results = dict(img=np.zeros((4, 4, 3), np.uint8))
    assert LoadSegMap()(dict(results)).keys() == results.keys()
    with pytest.raises(KeyError, match='seg_map_path'):
        LoadSegMap()(dict(results, ignore_index=255, num_classes=2))
