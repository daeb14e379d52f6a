"""The classifier's formula, fusions, ensemble and training; sentences per class; converter."""

import json
import math

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement

from mmclip.cli.convert import convert_file
from mmclip.clip.loading import build_clip
from mmclip.clip.text_encoder import CLIPTextEncoder
from mmclip.io.checkpoint import read_state_dict
from mmclip.models.point_clip.adapter import InterViewAdapter
from mmclip.models.point_clip.classifier import PointCLIPClassifier
from mmclip.models.point_clip.convert import adapter_name, convert, convert_clip
from mmclip.registry import MODELS

TINY = dict(
    embed_dim=16,
    vision_cfg=dict(layers=1, width=32, head_width=16, patch_size=8, image_size=16),
    text_cfg=dict(width=32, heads=2, layers=1),
)
NAMES = ('chair', 'flower_pot', 'traffic cone')
PROMPT = 'a depth map of a {}.'


@pytest.fixture
def weights(tmp_path) -> str:
    torch.manual_seed(2)
    path = tmp_path / 'clip.pt'
    torch.save(build_clip(TINY).state_dict(), path)
    return str(path)


def point_clip(weights: str, head: dict | None = None, **options) -> PointCLIPClassifier:
    clip = dict(model=TINY, pretrained=weights)
    settings = dict(
        type='mmclip.PointCLIPClassifier',
        projector=dict(
            type='mmclip.PerspectiveDepthProjector', views='views4', resolution=12, image_size=16
        ),
        backbone=dict(type='mmclip.OpenCLIPBackbone', **clip),
        head=dict(
            type='mmclip.TextEmbeddingClassifier',
            prompts=PROMPT,
            background=None,
            text_encoder=dict(type='mmclip.CLIPTextEncoder', **clip),
            **(head or {}),
        ),
    )
    torch.manual_seed(3)
    model = MODELS.build({**settings, **options}).eval()
    model.set_classes(NAMES)
    return model


def batch(size: int = 3) -> tuple[torch.Tensor, list[BaseDataElement]]:
    points = torch.rand(size, 80, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    return points, [BaseDataElement(gt_label=torch.tensor([i % 3])) for i in range(size)]


def by_hand(model: PointCLIPClassifier, points: torch.Tensor, weights: str) -> torch.Tensor:
    """Cosines (B, V, K) by open_clip itself."""
    encoder = CLIPTextEncoder(model=TINY, pretrained=weights)
    images = model.projector(points)
    with torch.no_grad():
        features = encoder.clip.encode_image(images.flatten(0, 1)).unflatten(0, images.shape[:2])
    texts = encoder.encode_names(['chair', 'flower pot', 'traffic cone'], PROMPT)
    return F.normalize(features, dim=-1) @ texts.T


def test_logits_are_weighted_cosines(weights):
    model = point_clip(weights, view_weights=[1, 0, 2, 0.5])
    points, _ = batch()
    logits = model(points)
    cosines = by_hand(model, points, weights)
    expected = 100 * (cosines * torch.tensor([1, 0, 2, 0.5])[:, None]).sum(1) / math.sqrt(4)
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-5)
    assert model.class_names == ('chair', 'flower pot', 'traffic cone')


def test_mean_of_probabilities(weights):
    model = point_clip(weights, fuse='softmax', view_weights=[1, 1, 2, 0])
    points, _ = batch()
    expected = (100 * by_hand(model, points, weights)).softmax(-1)
    expected = (expected * torch.tensor([0.25, 0.25, 0.5, 0])[:, None]).sum(1)
    torch.testing.assert_close(model(points).exp(), expected, atol=1e-5, rtol=1e-4)


def test_predictions_and_scores_of_views(weights):
    model = point_clip(weights, view_weights=[1, 2, 3, 4], store_view_scores=True)
    points, samples = batch()
    out = model(points, samples, mode='predict')
    logits = model(points)
    for sample, row in zip(out, logits, strict=True):
        torch.testing.assert_close(sample.pred_scores, row.softmax(0))
        assert sample.pred_label == row.argmax()
        torch.testing.assert_close(model.view_weights @ sample.view_scores, row)
    assert 'view_scores' not in point_clip(weights)(points, mode='predict')[0]


@pytest.mark.parametrize('chunk', [1, 3, 8, 1000])
def test_chunks_and_ragged_clouds_change_nothing(weights, chunk):
    points, _ = batch()
    expected = point_clip(weights)(points)
    model = point_clip(weights, view_chunk=chunk)
    torch.testing.assert_close(model(points), expected, atol=1e-4, rtol=1e-5)
    ragged = [points[0], points[1, :50], points[2]]
    out = model(ragged)
    torch.testing.assert_close(out[[0, 2]], expected[[0, 2]], atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(out[1], model(points[1:2, :50])[0], atol=1e-4, rtol=1e-5)


def test_only_the_adapter_is_trained(weights):
    model = point_clip(weights, adapter=dict(type='mmclip.InterViewAdapter')).train()
    points, samples = batch()
    model(points, samples, mode='loss')['loss'].backward()
    trained = [name for name, p in model.named_parameters() if p.grad is not None]
    assert trained and all(name.startswith('adapter.') for name in trained)
    assert not model.backbone.visual.training and model.adapter.training
    features = model.eval().view_features(points)
    torch.testing.assert_close(features.flatten(1).norm(dim=1), torch.ones(3))


def test_an_empty_batch(weights):
    model = point_clip(weights, adapter=dict(type='mmclip.InterViewAdapter')).train()
    loss = model([], [], mode='loss')['loss']
    loss.backward()
    assert loss == 0 and (model.adapter.fusion_ratio.grad == 0).all()
    assert model.eval()([], [], mode='predict') == []
    assert model(torch.empty(0, 5, 3)).shape == (0, 3)


def test_an_ensemble_adds_logits(weights, tmp_path):
    torch.manual_seed(5)
    network = dict(type='mmclip.PointNetClassifier', num_classes=3, point_widths=[4, 8])
    partner = MODELS.build(network).eval()
    path = tmp_path / 'point_net.pth'
    torch.save(dict(state_dict=partner.state_dict()), path)
    ensemble = dict(model=network, pretrained=str(path))
    model = point_clip(weights, ensemble=ensemble, logit_ratio=0.5).train()
    points, _ = batch()
    assert not model.ensemble.training
    expected = point_clip(weights)(points) + 0.5 * partner(points)
    torch.testing.assert_close(model.eval()(points), expected, atol=1e-4, rtol=1e-5)
    assert not any(p.requires_grad for p in model.ensemble.parameters())
    # What a checkpoint of the whole brings is not loaded again.
    gone = dict(model=network, pretrained=str(tmp_path / 'gone.pth'))
    other = point_clip(weights, ensemble=gone, logit_ratio=0.5)
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other(points), expected, atol=1e-4, rtol=1e-5)
    model.set_classes(['a', 'b'])
    with pytest.raises(ValueError, match='ensemble: it gives logits of 3 classes, here are 2'):
        model(points)


def test_sentences_of_each_class(weights, tmp_path):
    path = tmp_path / 'sentences.json'
    sentences = {
        'chair': 'a seat with four legs',
        'flower pot': ['a pot', 'a plant in a pot', 'clay'],
        'Traffic_Cone': ['a cone on a road'],
    }
    path.write_text(json.dumps(sentences))
    model = point_clip(weights)
    model.set_classes(NAMES, prompts=str(path))
    encoder = CLIPTextEncoder(model=TINY, pretrained=weights)
    rows = [encoder.encode([s] if isinstance(s, str) else s).mean(0) for s in sentences.values()]
    expected = F.normalize(torch.stack(rows), dim=1)
    torch.testing.assert_close(model.head.filled_embeddings(), expected, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="no sentence for the class 'sofa'; it is of 3 classes"):
        model.set_classes(['chair', 'sofa'])
    with pytest.raises(FileNotFoundError, match='gone.json'):
        model.set_classes(NAMES, prompts=str(tmp_path / 'gone.json'))
    # A file that changes is read again.
    path.write_text(json.dumps(sentences | dict(chair='furniture')))
    other = point_clip(weights, head=None)
    other.set_classes(NAMES, prompts=str(path))
    row = encoder.encode(['furniture'])[0]
    torch.testing.assert_close(other.head.filled_embeddings()[0], row, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ('options', 'told'),
    [
        (dict(fuse='max'), "fuse: 'max' is none of"),
        (dict(view_weights=[1, 1]), 'view_weights: .* expected 4 numbers'),
        (dict(view_weights=[0, 0, 0, 0]), 'not all 0'),
        (dict(view_weights=[1, 1, 1, -1]), 'from 0 on'),
        (dict(view_chunk=0), 'view_chunk: 0'),
        (dict(ensemble=dict(type='mmclip.PointNetClassifier')), 'ensemble: .*expected dict'),
        (dict(head=dict(background='zero')), 'background=None'),
    ],
)
def test_mistakes(weights, options, told):
    clip = dict(model=TINY, pretrained=weights)
    head = dict(background=None) | options.pop('head', {})
    with pytest.raises(ValueError, match=told):
        PointCLIPClassifier(
            projector=dict(type='mmclip.PerspectiveDepthProjector', views='views4'),
            backbone=dict(type='mmclip.OpenCLIPBackbone', **clip),
            head=dict(
                type='mmclip.TextEmbeddingClassifier',
                text_encoder=dict(type='mmclip.CLIPTextEncoder', **clip),
                **head,
            ),
            **options,
        )


def test_mistakes_of_use(weights):
    model = point_clip(weights)
    points, samples = batch()
    with pytest.raises(ValueError, match='adapter: without one'):
        model(points, samples, mode='loss')
    with pytest.raises(ValueError, match="mode: 'loose'"):
        model(points, mode='loose')
    adapted = point_clip(weights, adapter=dict(type='mmclip.InterViewAdapter'))
    with pytest.raises(ValueError, match='gt_label'):
        adapted(points, [BaseDataElement()] * 3, mode='loss')


# -- converter ------------------------------------------------------------------------------------


def official_adapter(views: int = 2, width: int = 16) -> dict[str, torch.Tensor]:
    sizes = {
        'fusion_ratio': (views,),
        'global_f.3.weight': (width, views * width),
        'view_f.0.weight': (width, width),
        'view_f.2.weight': (views * width, width),
        'view_f.2.bias': (views * width,),
    }
    names = [
        f'{n}.{end}' for n in ('global_f.3', 'view_f.0', 'view_f.2') for end in ('weight', 'bias')
    ]
    norm = ('weight', 'bias', 'running_mean', 'running_var')
    names += [f'{n}.{end}' for n in ('global_f.0.bn', 'global_f.4') for end in norm]
    state = {n: torch.rand(sizes.get(n, (width,))).half() for n in ['fusion_ratio', *names]}
    for norm_name in ('global_f.0.bn', 'global_f.4'):
        state[f'{norm_name}.num_batches_tracked'] = torch.tensor(7)
    return state


def test_a_released_file_is_converted_and_loaded(tmp_path):
    state = official_adapter()
    torch.save(dict(state_dict=state, epoch=9, optimizer={}), tmp_path / 'model-best.pth.tar')
    out = tmp_path / 'adapter.safetensors'
    convert_file('point_clip', str(tmp_path / 'model-best.pth.tar'), str(out))
    assert all(v.dtype in (torch.float32, torch.int64) for v in read_state_dict(out).values())
    module = InterViewAdapter(num_views=2, embed_dim=16, pretrained=str(out))
    module.init_weights()
    for name, value in state.items():
        assert torch.equal(module.state_dict()[adapter_name(name)], value.to(torch.float32)), name


def test_a_full_model_brings_its_image_tower(weights):
    clip = torch.load(weights)
    full = {f'adapter.{n}': v for n, v in official_adapter().items()}
    full |= {f'textual_encoder.clip_model.{n}': v for n, v in clip.items()}
    full |= {
        f'visual_encoder.{n.removeprefix("visual.")}': v for n, v in clip.items() if 'visual' in n
    }
    full['logit_scale'] = clip['logit_scale']
    model = point_clip(weights, adapter=dict(type='mmclip.InterViewAdapter'))
    converted = convert({f'module.{n}': v for n, v in full.items()})
    names = {n for n in model.state_dict() if n.startswith(('adapter.', 'backbone.'))}
    assert converted.keys() == names
    assert convert_clip(full).keys() == clip.keys()


def test_converter_mistakes():
    state = official_adapter()
    with pytest.raises(
        ValueError, match=r'1 keys .* missing \(view_f.0.bias\), 1 are left over \(x'
    ):
        convert({n: v for n, v in state.items() if n != 'view_f.0.bias'} | dict(x=torch.zeros(1)))
    with pytest.raises(ValueError, match=r'view_f.0.weight has the shape \(3, 3\)'):
        convert(state | {'view_f.0.weight': torch.zeros(3, 3)})
    with pytest.raises(ValueError, match='it holds no CLIP'):
        convert_clip(state)
    with pytest.raises(ValueError, match="no 'bn'"):
        adapter_name('bn')
