"""The whole detector: its own captions, vocabularies in one or many captions, losses, bad input."""

import pytest
import torch
from mmengine.structures import InstanceData
from toy_glip import SIDE, WORDS, build, config, image, plain_sample, sample

from mmclip.models.glip.prompts import CaptionedVocabulary, trimmed
from mmclip.registry import MODELS

NAMES = ['cat', 'dog', 'red star', 'blue house', 'car', 'tree', 'red car', 'blue star']
TWO = [sample(['cat', 'dog', 'red car'], [(4, 4, 36, 30), (30, 30, 60, 62)], [0, 2]),
       sample(['a red star', 'tree'], [(10, 20, 50, 52)], [0], det=False)]  # fmt: skip


def detect(model, names, **test_cfg):
    model.test_cfg.update(test_cfg)
    model.set_classes(names)
    with torch.no_grad():
        (found,) = model.predict(image(), [plain_sample()])
    return found.pred_instances


def same(a: InstanceData, b: InstanceData) -> None:
    assert a.labels.tolist() == b.labels.tolist()
    torch.testing.assert_close(a.scores, b.scores, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(a.bboxes, b.bboxes, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize('fused', [True, False])
def test_losses_reach_every_parameter(fused):
    model = build(fused=fused).train()
    losses = model.loss(image(2), TWO)
    assert set(losses) == {'loss_token', 'loss_bbox', 'loss_centerness'}
    assert all(torch.isfinite(value) and value > 0 for value in losses.values())
    sum(losses.values()).backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None]
    assert [n for n in silent if 'backbone' not in n] == []


def test_images_without_objects_train_the_words_only():
    model = build().train()
    empty = sample(['cat', 'dog'], [], [])
    losses = model.loss(image(), [empty])
    assert losses['loss_bbox'] == 0 and losses['loss_centerness'] == 0 and losses['loss_token'] > 0
    sum(losses.values()).backward()
    assert model.bbox_head.alignment.bias0.grad.abs() > 0
    assert model.bbox_head.reg.weight.grad.abs().sum() == 0


def test_a_text_without_a_word_is_no_error():
    model = build().train()
    none = sample(['cat'], [], [])
    none.set_metainfo(dict(text='', phrase_spans=[], phrase_labels=[]))
    losses = model.loss(image(2), [none, TWO[0]])
    assert all(torch.isfinite(value) for value in losses.values())
    with torch.no_grad():
        found = model.eval().predict(image(), [none])
    assert len(found[0].pred_instances) == 0


def test_too_many_empty_images_are_skipped_where_that_is_set():
    empty = sample(['cat', 'dog'], [], [])
    model = build(train_cfg=dict(max_empty_share=0.1)).train()
    assert all(value == 0 for value in model.loss(image(2), [TWO[0], empty]).values())
    assert model.loss(image(2), TWO)['loss_token'] > 0
    model = build(train_cfg=dict(max_empty_share=0.5)).train()
    assert model.loss(image(2), [TWO[0], empty])['loss_token'] > 0


def test_padding_by_a_neighbors_long_caption_changes_nothing():
    model = build()
    long = sample(['cat', 'dog', 'red star', 'blue house', 'car', 'tree'], [], [])
    with torch.no_grad():
        alone = model.predict(image(), [TWO[1].clone()])[0].pred_instances
        beside = model.predict(image().expand(2, -1, -1, -1), [TWO[1].clone(), long])
    same(alone, beside[0].pred_instances)


def test_labels_of_a_caption_are_classes_or_numbers_of_phrases():
    model = build()
    with torch.no_grad():
        det, free = model.predict(image(2), [TWO[0].clone(), TWO[1].clone()])
    assert set(det.pred_instances.labels.tolist()) <= {10, 11, 12}
    assert set(free.pred_instances.labels.tolist()) <= {0, 1}
    names = dict(
        zip(det.pred_instances.labels.tolist(), det.pred_instances.label_names, strict=True)
    )
    assert names.items() <= {10: 'cat', 11: 'dog', 12: 'red car'}.items()
    assert set(free.pred_instances.label_names) <= {'a red star', 'tree'}


def test_boxes_are_the_hosts_and_are_scaled_back():
    model = build()
    model.set_classes(['cat'])
    half = plain_sample()
    half.set_metainfo(dict(scale_factor=(0.5, 0.25)))
    with torch.no_grad():
        here = model.predict(image(), [plain_sample()], rescale=False)[0].pred_instances.bboxes
        there = model.predict(image(), [half])[0].pred_instances.bboxes
    last = torch.tensor([0.0, 0, 1, 1])
    torch.testing.assert_close(there, (here - last) * torch.tensor([2.0, 4, 2, 4]) + last)
    assert here.min() >= 0 and here.max() <= SIDE
    model.bbox_head.test_cfg['inclusive'] = True
    with torch.no_grad():
        raw = model.predict(image(), [plain_sample()], rescale=False)[0].pred_instances.bboxes
    torch.testing.assert_close(raw, here - last)


# -- vocabularies -------------------------------------------------------------------------------


@pytest.mark.parametrize('fused', [True, False])
@pytest.mark.parametrize('chunks_per_pass', [1, 2, 10])
def test_a_vocabulary_in_pieces_is_the_loop_over_its_pieces(fused, chunks_per_pass):
    model = build(fused=fused)
    cfg = dict(chunk_size=3, chunks_per_pass=chunks_per_pass, max_total=-1)
    found = detect(model, NAMES, **cfg)
    assert [len(c) for c in model.vocabulary.captions[1]] == [3, 3, 2]
    parts = []
    for start in range(0, len(NAMES), 3):
        one = detect(model, NAMES[start : start + 3], **cfg)
        one.labels = one.labels + start
        parts.append(one)
    joined = InstanceData.cat(parts)
    same(found, joined[joined.scores.argsort(descending=True, stable=True)])
    assert len(detect(model, NAMES, chunk_size=3, max_total=7)) == 7


def test_what_runs_once_runs_once(monkeypatch):
    model, calls = build(), {}
    for name in ('text_encoder', 'backbone', 'neck', 'fusion'):
        module = getattr(model, name)
        module.register_forward_hook(
            lambda *_, name=name: calls.update({name: calls.get(name, 0) + 1})
        )
    detect(model, NAMES, chunk_size=2, chunks_per_pass=1)
    assert calls == dict(text_encoder=1, backbone=1, neck=1, fusion=4)
    with torch.no_grad():
        model.predict(image(), [plain_sample()])
    assert calls == dict(text_encoder=1, backbone=2, neck=2, fusion=8)  # words are kept
    model.train()
    model.eval()
    with torch.no_grad():
        model.predict(image(), [plain_sample()])
    assert calls['text_encoder'] == 2


def test_words_are_encoded_anew_when_weights_are_others():
    model = build()
    first = detect(model, NAMES)
    model.load_state_dict(build(seed=3).state_dict())
    with torch.no_grad():
        (found,) = model.predict(image(), [plain_sample()])
    assert first.scores.tolist() != found.pred_instances.scores.tolist()
    same(found.pred_instances, detect(build(seed=3), NAMES))


def test_a_chunk_never_cuts_a_class_and_captions_fit():
    model = build(max_tokens=8)
    model.set_classes(NAMES)
    texts, classes, maps, batch = model.vocabulary.captions
    assert torch.cat(classes).tolist() == list(range(len(NAMES)))
    assert all((rows.sum(1) > 0).all() for rows in maps)
    assert batch.mask.sum(1).max() <= 8
    assert texts[0] == 'cat. dog. red star'


def test_one_class_of_300_tokens_is_cut_and_still_there():
    model = build()
    found = detect(model, ['cat', ' '.join(['red'] * 300), 'dog'])
    texts, _, maps, batch = model.vocabulary.captions
    assert len(texts) == 3 and batch.ids.shape[1] == 32
    assert maps[1].sum() == 30
    assert set(found.labels.tolist()) <= {0, 1, 2}


def test_names_with_full_stops_are_one_class():
    model = build()
    model.set_classes(['a. b. c', 'dog'])
    texts, _, maps, _ = model.vocabulary.captions
    assert texts == ['a. b. c. dog'] and maps[0][0].sum() == 5


def test_a_caption_of_10000_words_is_cut():
    model = build()
    text = ' '.join(['the'] * 9999 + ['cat'])
    long = sample(['cat'], [(4, 4, 30, 30)], [0])
    long.set_metainfo(dict(text=text, phrase_spans=[[[0, 3]]]))
    losses = model.train().loss(image(), [long])
    assert torch.isfinite(losses['loss_token'])
    batch, maps = model.read_samples([long])
    assert batch.ids.shape == (1, 32) and maps[0][0].nonzero().flatten().tolist() == [1]


def test_phrases_without_boxes_and_boxes_outside_the_image():
    model = build().train()
    odd = sample(['cat', 'dog'], [(-500, -500, -400, -400), (100, 100, 9000, 9000)], [1, 1])
    losses = model.loss(image(), [odd])
    assert all(torch.isfinite(value) for value in losses.values())
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_training_with_the_models_own_classes():
    model = build().train()
    model.set_classes(['cat', 'dog'])
    own = plain_sample()
    own.gt_instances = InstanceData(
        bboxes=torch.tensor([[4.0, 4, 36, 30]]), labels=torch.tensor([1])
    )
    losses = model.loss(image(), [own])
    worded = sample(['cat', 'dog'], [(4, 4, 36, 30)], [1])
    torch.manual_seed(0)
    first = build().train()
    first.set_classes(['cat', 'dog'])
    for part in ('dropout', 'drop_prob'):
        for module in first.modules():
            if hasattr(module, part) and not isinstance(getattr(module, part), torch.nn.Module):
                setattr(module, part, 0.0)
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
    a, b = first.loss(image(), [own]), first.loss(image(), [worded])
    assert {n: float(v) for n, v in a.items()} == pytest.approx({n: float(v) for n, v in b.items()})
    assert losses['loss_token'] > 0
    model.set_classes(NAMES)
    model.vocabulary.chunk_size = 2
    with pytest.raises(ValueError, match='mmclip.DetToGrounding'):
        model.loss(image(), [own])


def test_prompts_put_words_around_names():
    model = build()
    model.set_classes(
        ['cat', 'dog'],
        prompts={'dog': dict(prefix='the ', name='red dog', suffix=' of blue')},
    )
    texts, _, maps, _ = model.vocabulary.captions
    assert texts == ['cat. the red dog of blue']
    assert maps[0][1].nonzero().flatten().tolist() == [4, 5]  # red dog


@pytest.mark.parametrize(
    ('call', 'words'),
    [
        (lambda m: m.set_classes([]), 'at least one'),
        (lambda m: m.set_classes(['cat', 'cat']), 'more than once'),
        (lambda m: m.set_classes('coco81'), 'coco80'),
        (lambda m: m.set_classes(['cat'], prompts=['a photo of a {}']), 'not templates'),
        (lambda m: m.set_classes(['cat'], prompts={'dog': {}}), "'dog'"),
        (lambda m: m.set_classes(['cat'], prompts=[dict(sufix='!')]), "'cat': .'sufix'. unknown"),
        (lambda m: m.set_classes(['cat'], examples={'cat': 'cat.png'}), 'examples'),
        (lambda m: m.predict(image(), [plain_sample()]), 'set_classes'),
        (lambda m: build(tuning='lora'), 'full, linear, prompt_v1, prompt_v2'),
        (lambda m: build(tuning='prompt_v2', prompt_rows=3), '32 tokens'),
        (lambda m: build(test_cfg=dict(nms=dict(iou_threshold=0.7))), 'test_cfg: .*nms_iou'),
        (lambda m: build(train_cfg=dict(max_empty=0.1)), 'train_cfg: .*max_empty_share'),
        (lambda m: build(test_cfg=dict(chunks_per_pass=0)), 'chunks_per_pass: 0'),
    ],
)
def test_bad_input_says_what_is_allowed(call, words):
    with pytest.raises(ValueError, match=words):
        call(build())


# -- tuning -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('tuning', 'starts'),
    [
        ('linear', ('bbox_head.reg', 'bbox_head.centerness', 'bbox_head.alignment')),
        ('prompt_v1', ('text_encoder',)),
        ('prompt_v2', ('prompt_offset',)),
    ],
)
def test_tuning_trains_only_its_part(tuning, starts):
    model = build(tuning=tuning).train()
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout):
            assert module.training == name.startswith(starts), name
    losses = model.loss(image(2), TWO)
    sum(losses.values()).backward()
    learnt = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert learnt and all(name.startswith(starts) for name in learnt)


def test_offsets_start_at_nothing_and_move_scores():
    plain, tuned = detect(build(), NAMES), build(tuning='prompt_v2')
    same(plain, detect(tuned, NAMES))
    torch.nn.init.normal_(tuned.prompt_offset)
    assert detect(tuned, NAMES).scores.tolist() != plain.scores.tolist()


def test_trimming_cuts_common_padding_only():
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0]], dtype=torch.bool)
    text = dict(mask=mask, hidden=torch.zeros(2, 4, 8), aggregate=torch.zeros(2, 8))
    found = trimmed(text)
    assert {n: tuple(v.shape) for n, v in found.items()} == dict(
        mask=(2, 3), hidden=(2, 3, 8), aggregate=(2, 8)
    )


def test_building_tokenizes_nothing():
    cfg = config(classes=NAMES)
    cfg['text_encoder']['tokenizer'] = dict(type='mmclip.BertTokens', source='/no/such/folder')
    model = MODELS.build(cfg)
    assert model.class_names == tuple(NAMES)
    assert isinstance(model.vocabulary, CaptionedVocabulary) and len(model.vocabulary) == 8


def test_raw_outputs():
    model = build()
    model.set_classes(['cat', 'dog'])
    with torch.no_grad():
        deltas, centerness, logits = model(image(), mode='tensor')
    assert deltas.shape == (1, 86, 4) and centerness.shape == (1, 86) and logits.shape[1] == 86
    assert len(WORDS) > 5


def test_init_cfg_brings_weights(tmp_path):
    source = build(seed=3)
    torch.save(source.state_dict(), tmp_path / 'a.pth')
    start = dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth'))
    model = MODELS.build(config(init_cfg=start))
    name = 'bbox_head.reg.weight'
    assert not torch.equal(model.state_dict()[name], source.state_dict()[name])
    model.init_weights()
    assert torch.equal(model.state_dict()[name], source.state_dict()[name])
