"""Any words on any image: with a finder of colored squares, and with the real ViLD config."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmengine import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from mmclip import config_path
from mmclip.apis import OpenVocabInferencer
from mmclip.cli import predict as demo
from mmclip.registry import MODELS
from mmclip.vocabulary.classifier import classifiers_of
from mmclip.vocabulary.vocabulary import Vocabulary

ROOT = Path(__file__).resolve().parents[2]


RGB = dict(red=(255, 0, 0), green=(0, 255, 0), blue=(0, 0, 255), yellow=(255, 255, 0))


@MODELS.register_module(force=True)
class ColorFinder(BaseModel):
    """Detects pixels of the colors that its words name; its score is the weight 'score'."""

    def __init__(self, data_preprocessor=None):
        super().__init__(data_preprocessor=DetDataPreprocessor(bgr_to_rgb=True))
        self.score = torch.nn.Parameter(torch.tensor(0.0))
        self.class_names = ('red', 'blue')
        self.calls = []

    def set_classes(self, names, prompts=None, examples=None):
        self.class_names = tuple(names)
        self.calls.append((self.class_names, prompts, examples))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        self.batch = len(inputs)
        for array, sample in zip(inputs, data_samples, strict=True):
            boxes, labels = [], []
            for label, name in enumerate(self.class_names):
                color = torch.tensor(RGB.get(name, (1, 2, 3)))[:, None, None]
                rows, columns = torch.nonzero((array == color).all(0), as_tuple=True)
                if len(rows):
                    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                    boxes.append(torch.stack(box) / sample.scale_factor[0])
                    labels.append(label)
            count = len(labels)
            sample.pred_instances = InstanceData(
                bboxes=torch.stack([*boxes, torch.zeros(4), torch.zeros(4)]),
                labels=torch.tensor([*labels, 0, 0]),
                scores=torch.cat([self.score.expand(count), torch.tensor([0.1, float('nan')])]),
            )
        return data_samples


PIPELINE = [
    dict(type='LoadImageFromFile'),  # unscoped: the host's
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmdet.Resize', scale=(80, 60), keep_ratio=True, interpolation='nearest'),
    dict(type='mmclip.ProposalsFromGT'),
    dict(
        type='mmdet.PackDetInputs', meta_keys=('img_id', 'ori_shape', 'img_shape', 'scale_factor')
    ),
]


@pytest.fixture
def config():
    return Config(
        dict(
            default_scope='mmdet',
            model=dict(type='mmclip.ColorFinder'),
            test_dataloader=dict(dataset=dict(dataset=dict(pipeline=PIPELINE))),
        )
    )


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / 'weights.pth'
    meta = dict(dataset_meta=dict(classes=['red', 'green', 'blue']))
    torch.save(dict(state_dict=dict(score=torch.tensor(0.75)), meta=meta), path)
    return path


@pytest.fixture
def detect(config, checkpoint):
    return OpenVocabInferencer(config, checkpoint, device='cpu')


@pytest.fixture
def image(tmp_path):
    array = np.zeros((30, 40, 3), np.uint8)
    array[5:15, 4:20] = (0, 0, 255)  # BGR: red
    array[20:28, 22:36] = (255, 0, 0)  # blue
    cv2.imwrite(str(tmp_path / 'image.png'), array)
    return tmp_path / 'image.png'


def test_default_words_are_those_of_the_checkpoint(detect, image):
    (result,) = detect(str(image))
    assert result.pred_instances.label_names == ['red', 'blue']
    assert result.pred_instances.bboxes.tolist() == [[4, 5, 20, 15], [22, 20, 36, 28]]
    assert result.pred_instances.scores.tolist() == [0.75, 0.75]
    assert result.img_path == str(image) and result.ori_shape == (30, 40)
    assert not detect.model.training
    assert DefaultScope.get_current_instance() is None or (
        not DefaultScope.get_current_instance().instance_name.startswith('overwrite')
    )


def test_other_words_and_their_order(detect, image):
    (result,) = detect(image, classes=['blue', 'yellow'], prompts='single')
    assert result.pred_instances.labels.tolist() == [0]
    assert result.pred_instances.label_names == ['blue']
    (result,) = detect(image, examples={'green': ['g.png'], 'red': ['r.png']})
    assert result.pred_instances.label_names == ['red']
    assert detect.model.calls[-1] == (
        ('green', 'red'),
        None,
        {'green': ['g.png'], 'red': ['r.png']},
    )
    (result,) = detect(image)
    assert detect.model.calls[-1] == (('red', 'green', 'blue'), None, None)


def test_score_threshold_and_nan(detect, image):
    assert len(detect(image, score_thr=0.8)[0].pred_instances) == 0
    assert detect(image, score_thr=0.8)[0].pred_instances.label_names == []
    scores = detect(image, score_thr=0.0)[0].pred_instances.scores
    assert scores.tolist() == pytest.approx([0.75, 0.75, 0.1])


def test_arrays_folders_lists_and_batches(detect, image, tmp_path):
    folder = tmp_path / 'folder'
    folder.mkdir()
    array = cv2.imread(str(image))
    cv2.imwrite(str(folder / 'b.PNG'), array)
    cv2.imwrite(str(folder / 'a.bmp'), array)
    (folder / 'notes.txt').write_text('no image')
    results = detect([folder, array, image, array[:, :, 0]], batch_size=3)
    paths = [result.img_path for result in results]
    assert paths == [str(folder / 'a.bmp'), str(folder / 'b.PNG'), None, str(image), None]
    assert detect.model.batch == 2
    for result in results[:4]:
        assert result.pred_instances.label_names == ['red', 'blue']
    assert results[4].pred_instances.label_names == []


def test_images_are_drawn_as_png(detect, image, tmp_path):
    array = cv2.imread(str(image))
    inputs = [image, array, image]
    results = detect(inputs, out_dir=tmp_path / 'deep' / 'out')
    names = ['image.png', '00001.png', 'image_2.png']
    assert [Path(result.drawn).name for result in results] == names
    assert sorted(p.name for p in (tmp_path / 'deep/out').iterdir()) == sorted(names)
    drawn = cv2.imread(results[0].drawn)
    assert drawn.shape == (390, 520, 3)  # 13 times as large
    assert drawn[25 * 13, 29 * 13].tolist() == [255, 0, 0], 'still blue'
    with pytest.raises(ValueError, match=r'would overwrite the image .*image\.png'):
        detect(image, out_dir=tmp_path)


@pytest.mark.parametrize(
    ('arguments', 'error', 'message'),
    [
        (dict(inputs='none.png'), FileNotFoundError, "'none.png' does not exist"),
        (dict(inputs=[]), ValueError, 'inputs is empty'),
        (dict(inputs=[3]), ValueError, '3, a int'),
        (dict(inputs=np.zeros((4, 4, 3))), ValueError, 'float64 is not an image'),
        (dict(inputs=np.zeros((4, 4, 4), np.uint8)), ValueError, r'\(4, 4, 4\)'),
        (dict(inputs=np.zeros((0, 4, 3), np.uint8)), ValueError, r'\(0, 4, 3\)'),
        (dict(classes=[]), ValueError, 'at least one class name'),
        (dict(classes=['red', 'red']), ValueError, "more than once: 'red'"),
        (dict(classes=['red', 3]), ValueError, 'entry 1 is 3, a int'),
        (dict(classes=['red', ' ']), ValueError, 'entry 1 is empty'),
        (dict(classes='lvis_v2'), ValueError, 'lvis_v1'),
        (dict(batch_size=0), ValueError, 'batch_size=0'),
    ],
)
def test_bad_calls(detect, image, arguments, error, message):
    with pytest.raises(error, match=message):
        detect(**(dict(inputs=image) | arguments))


def test_unreadable_images_and_empty_folders_are_named(detect, tmp_path, image):
    for content in (b'', b'no image', image.read_bytes()[:30]):
        (tmp_path / 'bad.jpg').write_bytes(content)
        with pytest.raises(ValueError, match=r"bad\.jpg' is not a readable image"):
            detect([image, tmp_path / 'bad.jpg'])
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match="empty' holds no image"):
        detect(tmp_path / 'empty')


def test_bad_configs_and_checkpoints(config, checkpoint, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pth' does not exist; tools/train\.py"):
        OpenVocabInferencer(config, tmp_path / 'none.pth')
    with pytest.raises(FileNotFoundError, match="no config 'vild/none.py'"):
        OpenVocabInferencer('vild/none.py', checkpoint)
    torch.save(dict(state_dict=dict(other=torch.zeros(2))), tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=r'other\.pth does not fit .* lacks 1 weight \(score: 1\)'):
        OpenVocabInferencer(config, tmp_path / 'other.pth')
    torch.save(dict(state_dict=dict(score=torch.zeros(2))), tmp_path / 'shape.pth')
    with pytest.raises(ValueError, match=r'score \[2\] in the file, \[\] in the model'):
        OpenVocabInferencer(config, tmp_path / 'shape.pth')
    assert OpenVocabInferencer(config, tmp_path / 'other.pth', allow_mismatch=True).model.score == 0
    with pytest.raises(ValueError, match="device: 'foo' cannot be used"):
        OpenVocabInferencer(config, checkpoint, device='foo')
    (tmp_path / 'cut.pth').write_bytes(checkpoint.read_bytes()[:100])
    with pytest.raises(ValueError, match=r'cut\.pth'):
        OpenVocabInferencer(config, tmp_path / 'cut.pth')
    config.test_dataloader = None
    with pytest.raises(ValueError, match='no test_dataloader'):
        OpenVocabInferencer(config, checkpoint)
    config.default_scope = 'mmpretrain'
    with pytest.raises(ValueError, match=r"'mmpretrain' .*\['mmdet'"):
        OpenVocabInferencer(config, checkpoint)


def test_a_model_without_words_is_refused(config, checkpoint):
    config.model = dict(type='mmengine.BaseDataPreprocessor')
    with pytest.raises(ValueError, match='BaseDataPreprocessor has no set_classes'):
        OpenVocabInferencer(config, checkpoint)


def test_a_checkpoint_without_meta_keeps_the_words_of_the_model(config, tmp_path, image):
    torch.save(dict(score=torch.tensor(0.5)), tmp_path / 'bare.pth')
    detect = OpenVocabInferencer(config, tmp_path / 'bare.pth')
    assert detect(image)[0].pred_instances.label_names == ['red', 'blue']
    assert detect.default_classes == ('red', 'blue')


def test_a_checkpoint_of_a_mixture_has_the_classes_of_all(config, tmp_path):
    metas = [dict(classes=('blue', 'red')), dict(MODE='VG'), dict(classes=['red', 'green'])]
    content = dict(state_dict=dict(score=torch.tensor(0.5)), meta=dict(dataset_meta=metas))
    torch.save(content, tmp_path / 'mixture.pth')
    detect = OpenVocabInferencer(config, tmp_path / 'mixture.pth')
    assert detect.default_classes == ('blue', 'red', 'green')
    content['meta']['dataset_meta'] = dict(classes=5)
    torch.save(content, tmp_path / 'odd.pth')
    assert OpenVocabInferencer(config, tmp_path / 'odd.pth').default_classes == ('red', 'blue')


@pytest.fixture
def files(config, checkpoint, image, tmp_path):
    config.dump(tmp_path / 'config.py')
    return [str(image), str(tmp_path / 'config.py'), str(checkpoint)]


def test_demo_draws_and_joins(files, tmp_path, capsys):
    out, joined = tmp_path / 'out', tmp_path / 'joined' / 'montage.png'
    arguments = ['--classes', 'blue, yellow', '--out-dir', str(out), '--montage', str(joined)]
    demo.main([files[0], *files, *arguments, '--device', 'cpu'])
    assert sorted(p.name for p in out.iterdir()) == ['image.png', 'image_2.png']
    assert cv2.imread(str(joined)).shape == (390 + 24, 2 * 520 + 36, 3)
    assert f'{out / "image_2.png"}: 1 x blue' in capsys.readouterr().out


def test_demo_says_errors_in_one_line(files):
    for bad in (['--classes', 'red,,blue'], ['--examples', '=x'], ['--classes', 'a,a']):
        with pytest.raises(ValueError) as stopped:
            demo.main([*files, '--out-dir', 'nowhere', *bad])
        assert '\n' not in str(stopped.value)


def test_demo_reads_words_and_examples():
    assert demo.read_classes('lvis_v1') == 'lvis_v1'
    assert demo.read_classes('striped red star, blue ring') == ['striped red star', 'blue ring']
    assert demo.read_classes(None) is None
    assert demo.read_examples(['mug=a.jpg,b.jpg', 'cup=c.png']) == {
        'mug': ['a.jpg', 'b.jpg'],
        'cup': ['c.png'],
    }
    assert demo.read_examples(['all.json']) == 'all.json'
    assert demo.read_examples(None) is None


def test_vild_with_random_weights(tmp_path, mini_world_detection):
    """The real config end to end; words that the checkpoint knows need no text tower."""
    config = Config.fromfile(config_path('vild/mini/vild_text_r18_mini.py'))
    config.model.roi_head.bbox_head.classifier.classes = 'mini_world'
    torch.manual_seed(0)
    model = MMENGINE_MODELS.build(config.model)
    for classifier in classifiers_of(model):
        rows = F.normalize(torch.randn(classifier.embeddings.shape), dim=1)
        classifier._install(Vocabulary(classifier.class_names, rows), of_words=True)
    names = model.class_names
    meta = dict(dataset_meta=dict(classes=names, novel=names[2:4]))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), tmp_path / 'random.pth')
    detect = OpenVocabInferencer('vild/mini/vild_text_r18_mini.py', tmp_path / 'random.pth')
    assert detect.model.roi_head.bbox_head.mask_novel.novel == set(names[2:4])
    folder = mini_world_detection / 'detection' / 'test'
    results = detect(folder, out_dir=tmp_path / 'out', score_thr=0.0, batch_size=4)
    assert len(results) == len(list(folder.iterdir())) == len(list((tmp_path / 'out').iterdir()))
    assert set().union(*(result.pred_instances.label_names for result in results)) <= set(names)
    assert sum(len(result.pred_instances) for result in results) > 0
    alone = detect(sorted(folder.iterdir())[1], score_thr=0.0)[0].pred_instances
    assert torch.allclose(alone.bboxes, results[1].pred_instances.bboxes, atol=1e-3)
    chosen = detect(folder, classes=list(names[5:7]), score_thr=0.0)
    assert {n for r in chosen for n in r.pred_instances.label_names} == set(names[5:7])
    json.dumps(chosen[0].pred_instances.bboxes.tolist())


def test_a_converted_checkpoint_gets_its_embeddings_with_its_words(tmp_path):
    """tools/convert_checkpoint.py gives LSeg's weights without any words."""
    leaf = 'lseg/mini/lseg_r18_mini.py'
    model = MMENGINE_MODELS.build(Config.fromfile(config_path(leaf)).model)
    words = 'decode_head.conv_seg.classifier.'
    state = {k: v for k, v in model.state_dict().items() if not k.startswith(words)}
    torch.save(dict(state_dict=state), tmp_path / 'converted.pth')
    detect = OpenVocabInferencer(leaf, tmp_path / 'converted.pth', 'cpu')
    sample = detect(np.zeros((32, 64, 3), np.uint8), classes=['other', 'red star'])[0]
    assert sample.pred_sem_seg.data.shape == (1, 32, 64)
    del state['decode_head.conv_seg.projection.weight']
    torch.save(dict(state_dict=state), tmp_path / 'converted.pth')
    with pytest.raises(ValueError, match=r'lacks 1 weight \(decode_head.conv_seg: 1\)'):
        OpenVocabInferencer(leaf, tmp_path / 'converted.pth', 'cpu')
