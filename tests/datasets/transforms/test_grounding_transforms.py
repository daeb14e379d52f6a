"""Texts of grounded detection: what is in a caption, which boxes stay, and bad input."""

import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from mmengine.registry import TRANSFORMS

from mmclip.datasets.transforms.class_sampling import draw_negatives, fitting_positives
from mmclip.datasets.transforms.pack_captions import fitting_captions
from mmclip.text.captions import Caption
from mmclip.text.class_names import class_names, novel_names

CLIP = dict(type='mmclip.CLIPTokens')
NAMES = ('person', 'stop_sign', 'jellyfish (animal)', 'dog', 'cat', 'red star')


def build(kind, **settings):
    return TRANSFORMS.build(dict(type=f'mmclip.{kind}', tokenizer=CLIP) | settings)


def detection(labels, classes=NAMES, **more):
    count = len(labels)
    return (
        dict(
            img_path='a.png',
            text=classes,
            gt_bboxes=np.arange(4.0 * count).reshape(count, 4),
            gt_bboxes_labels=np.array(labels, dtype=np.int64),
            gt_ignore_flags=np.zeros(count, dtype=bool),
        )
        | more
    )


def words_of(results, label):
    return [results['text'][a:b] for a, b in results['phrase_spans'][label]]


def test_labels_become_numbers_of_phrases():
    transform = build('DetToGrounding', num_negatives=6)
    for seed in range(20):
        np.random.seed(seed)
        results = transform(detection([2, 0, 2, 5]))
        said = [words_of(results, label) for label in results['gt_bboxes_labels']]
        assert said == [['jellyfish '], ['person'], ['jellyfish '], ['red star']]
        assert [results['phrase_labels'][i] for i in results['gt_bboxes_labels']] == [2, 0, 2, 5]
        assert results['text_type'] == 'det' and len(results['gt_bboxes']) == 4
        spans = [span for pieces in results['phrase_spans'] for span in pieces]
        text = ''.join(results['text'][a:b] for a, b in sorted(spans))
        assert text == results['text'].replace('. ', '')  # nothing else is in the caption
        masked = {results['text'][a:b] for a, b in results['maskable_spans']}
        assert masked == {'jellyfish ', 'person', 'red star'}


def test_the_order_and_the_number_of_negatives_are_random():
    transform = build('DetToGrounding', num_negatives=5, full_prob=0.5)
    np.random.seed(0)
    results = [transform(detection([0])) for _ in range(300)]
    counts = np.array([len(r['phrase_labels']) for r in results])
    assert set(counts) == {1, 2, 3, 4, 5, 6}
    firsts = {r['phrase_labels'][0] for r in results}
    assert firsts == set(range(6))
    # 5 of 6 classes are drawn in half the cases and in a fifth of the others: the present one is
    # among them with probability 5/6, and then 4 absent ones are left, else 5.
    assert np.mean(counts >= 5) == pytest.approx(0.6 + 0.1 * 1 / 3, abs=0.1)


def test_only_names_that_are_not_novel_count_as_absent():
    names, novel = class_names('mini_world'), novel_names('mini_world')
    transform = build('DetToGrounding', full_prob=1.0, negatives='mini_world')
    np.random.seed(0)
    for _ in range(5):
        results = transform(detection([3, 4], classes=names))
        assert len(results['phrase_labels']) > 30
        assert not {names[i] for i in results['phrase_labels']} & novel


def test_most_classes_of_a_caption():
    transform = build('DetToGrounding', num_negatives=85, full_prob=1.0, max_classes=4)
    np.random.seed(0)
    counts = {len(transform(detection([0, 1]))['phrase_labels']) for _ in range(50)}
    assert max(counts) == 4


def test_a_caption_always_fits_and_what_does_not_loses_its_boxes():
    names = [f'word{"x" * (i % 5)} number {i}' for i in range(300)]
    transform = build('DetToGrounding', max_tokens=40)
    np.random.seed(0)
    for present in ([], [0], list(range(30))):
        results = transform(detection(present, classes=names))
        tokens = transform.tokenizer([results['text']], 1000, pad=False).mask.sum()
        assert tokens <= 40
        kept = len(results['gt_bboxes'])
        assert kept == len(results['gt_bboxes_labels']) == len(results['gt_ignore_flags'])
        assert 0 < kept < 30 if len(present) == 30 else kept == len(present)


def test_one_class_with_300_tokens_loses_its_boxes():
    results = build('DetToGrounding')(detection([0, 1], classes=('long ' * 300, 'dog')))
    assert results['text'] == 'dog' and results['gt_bboxes'].tolist() == [[4, 5, 6, 7]]


def test_masks_go_with_their_boxes_and_crowds_go():
    masks = BitmapMasks(np.eye(3, dtype=np.uint8)[:, None], 1, 3)
    flags = np.array([False, True, False])
    results = build('DetToGrounding', full_prob=0.0, num_negatives=1)(
        detection([0, 0, 1], gt_masks=masks, gt_ignore_flags=flags)
    )
    assert results['gt_masks'].masks[:, 0].tolist() == [[1, 0, 0], [0, 0, 1]]


def test_no_boxes_give_negatives_only_and_no_classes_give_an_empty_caption():
    np.random.seed(0)
    results = build('DetToGrounding')(detection([]))
    assert results['text'] and results['gt_bboxes_labels'].shape == (0,)
    results = build('DetToGrounding', num_negatives=0)(detection([]))
    assert results['text'] == '' and results['phrase_spans'] == []


def test_all_classes_in_order():
    prompts = dict(dog=dict(prefix='a ', suffix=' on the road'))
    results = build('DetToGrounding', all_classes=True)(detection([3, 0], caption_prompt=prompts))
    assert results['text'] == ('person. stop sign. jellyfish . a dog on the road. cat. red star')
    assert results['gt_bboxes_labels'].tolist() == [3, 0]
    assert results['phrase_labels'] == list(range(6))
    assert words_of(results, 3) == ['dog']
    without = build('DetToGrounding', all_classes=True)(dict(text=NAMES))  # a test image
    assert without['phrase_labels'] == list(range(6)) and 'gt_bboxes_labels' not in without


def test_all_classes_that_do_not_fit():
    names = class_names('objects365_v2')
    with pytest.raises(ValueError, match='365 classes of a.png have'):
        build('DetToGrounding', all_classes=True)(detection([0], classes=names))
    long = dict(dog=dict(suffix=' on the road' * 100))  # words around a class count as well
    with pytest.raises(ValueError, match='6 classes of a.png have 3'):
        build('DetToGrounding', all_classes=True)(detection([0], caption_prompt=long))
    cut = build('DetToGrounding', all_classes=True, overflow='cut')
    assert len(cut(detection([0], classes=names))['phrase_spans']) == 365


def test_bad_settings_of_classes():
    for settings in (
        dict(num_negatives=-1), dict(full_prob=1.5), dict(overflow='x'), dict(negatives='unknown'),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            build('DetToGrounding', **settings)
    with pytest.raises(ValueError, match='return_classes=True'):
        build('DetToGrounding')(dict(img_path='a.png', gt_bboxes_labels=np.zeros(0)))


def test_positives_stop_at_the_first_that_does_not_fit():
    rng = np.random.RandomState(0)
    costs = [3, 100, 3, 3]
    for _ in range(10):
        kept, spent = fitting_positives([0, 1, 2, 3], costs, 10, rng)
        assert 1 not in kept and spent == 3 * len(kept) + 100
    assert fitting_positives([], costs, 10, rng) == ([], 0)


def test_negatives_leave_one_token_over():
    rng = np.random.RandomState(0)
    allowed = np.arange(4)
    settings = dict(limit=4, full_prob=1.0)
    assert len(draw_negatives([0], allowed, [3] * 4, 9, rng, **settings)) == 2  # not 3: 9 < 9
    assert len(draw_negatives([0], allowed, [3] * 4, 10, rng, **settings)) == 3
    assert draw_negatives([0], np.arange(0), [3] * 4, 10, rng, **settings) == []


def caption(text, spans, labels, **more):
    count = len(labels)
    return (
        dict(
            img_path='a.png',
            text=text,
            phrase_spans=spans,
            gt_bboxes=np.arange(4.0 * count).reshape(count, 4),
            gt_bboxes_labels=np.array(labels, dtype=np.int64),
        )
        | more
    )


def test_a_caption_stays_as_it_is():
    text, spans = 'a red star and a moon', [[[2, 10]], [[17, 21]], []]
    results = build('CaptionGrounding')(caption(text, spans, [1, 0]))
    assert results['text'] == text and results['phrase_spans'] == spans
    assert results['gt_bboxes_labels'].tolist() == [1, 0]
    assert results['text_type'] == 'grounding' and results['phrase_labels'] == [-1, -1, -1]
    assert results['maskable_spans'] == [[0, len(text)]]


def test_a_caption_of_10000_words_is_cut_with_its_boxes():
    text = 'star ' * 10_000
    spans = [[[0, 4]], [[49_995, 49_999]], [[5, 9], [40_000, 40_004]]]
    results = build('CaptionGrounding', max_tokens=16)(caption(text, spans, [1, 0, 2, 1]))
    assert results['text'] == ('star ' * 14).strip()
    assert results['phrase_spans'] == [[[0, 4]], [], [[5, 9]]]
    assert results['gt_bboxes_labels'].tolist() == [0, 2]
    assert results['gt_bboxes'].tolist() == [[4, 5, 6, 7], [8, 9, 10, 11]]


def test_phrases_apart_are_the_whole_caption():
    text, spans = 'a red star and a moon, blue', [[[17, 21], [23, 27]], [], [[2, 10]]]
    results = build('CaptionGrounding', apart=True)(caption(text, spans, [2, 0]))
    assert results['text'] == 'moon blue. red star'
    assert results['phrase_spans'] == [[[0, 9]], [], [[11, 19]]]
    assert results['gt_bboxes_labels'].tolist() == [2, 0]
    assert results['maskable_spans'] == [[0, 19]]
    assert build('CaptionGrounding', apart=True)(caption('none', [[]], []))['text'] == ''


def test_a_caption_without_phrases_or_words():
    results = build('CaptionGrounding')(caption('', [], []))
    assert results['phrase_spans'] == [] and results['gt_bboxes_labels'].shape == (0,)
    with pytest.raises(ValueError, match='DetToGrounding'):
        build('CaptionGrounding')(detection([0]))


class Pool:
    """Captions of other images, in a circle."""

    def __init__(self, *captions):
        self.captions = [c if isinstance(c, Caption) else Caption(c, ()) for c in captions]

    def draw(self, count, rng):
        return [self.captions[i % len(self.captions)] for i in range(count)]


def test_packing_keeps_the_phrases_and_fits():
    pool = Pool('a blue moon.', 'two green rings', 'word ' * 100)
    settings = dict(number=6, none_prob=0.0, full_prob=1.0, max_tokens=30)
    packing, cutting = build('PackCaptions', **settings), build('CaptionGrounding', max_tokens=30)
    np.random.seed(0)
    places = set()
    for _ in range(20):
        results = packing(caption('a red star', [[[2, 10]]], [0], caption_pool=pool))
        text = results['text']
        assert 'word' not in text and text.endswith('. ') and 'two green rings. ' in text
        places.add(results['phrase_spans'][0][0][0])
        results = cutting(results)
        assert results['text'] == text and words_of(results, 0) == ['red star']
        assert results['maskable_spans'] == [[0, len(text)]]
    assert len(places) > 2


def test_how_many_captions_are_packed():
    packing = build('PackCaptions', number=20, none_prob=0.4, full_prob=0.5, least=1)
    drawn = []
    pool = Pool('x')
    pool.draw = lambda count, rng: drawn.append(count) or [Caption('x', ())] * count
    np.random.seed(0)
    for _ in range(1000):
        packing(caption('a', [[[0, 1]]], [0], caption_pool=pool))
    assert len(drawn) == pytest.approx(600, abs=60)
    assert drawn.count(20) == pytest.approx(300, abs=50)
    assert set(drawn) == set(range(1, 21))


def test_only_the_own_caption_may_be_masked():
    settings = dict(number=1, none_prob=0.0, full_prob=1.0, mask_own_only=True)
    packing = build('PackCaptions', **settings)
    results = packing(caption('a red star', [[[2, 10]]], [0], caption_pool=Pool('two')))
    ((start, end),) = results['maskable_spans']
    assert results['text'][start:end] == 'a red star'
    assert build('CaptionGrounding')(results)['maskable_spans'] == [[start, end]]


def test_apart_packing_takes_absent_phrases_only():
    said = 'a red star by a dotted blue moon and a ring'
    spans = [[[2, 10]], [[16, 32]], [[39, 43]]]
    pool = Pool(Caption(said, spans), Caption('a red ring', [[[2, 10]]]))
    settings = dict(number=2, none_prob=0.0, full_prob=1.0, apart=True)
    packing, cutting = build('PackCaptions', **settings), build('CaptionGrounding')
    sample = caption('the blue moon, a ring', [[[4, 13]], [[17, 21]]], [0, 1], caption_pool=pool)
    results = cutting(packing(sample))
    # 'dotted blue moon' may be the blue moon, 'red ring' the ring
    assert sorted(results['text'].split('. ')) == ['', 'blue moon', 'red star', 'ring']
    assert words_of(results, 0) == ['blue moon'] and words_of(results, 1) == ['ring']
    wordless = caption('the moon', [[], [[4, 8]]], [1], caption_pool=pool)
    assert 'red star' in packing(wordless)['text']  # a phrase that was cut off hides no others
    alone = build('PackCaptions', none_prob=1.0, apart=True)(sample)
    assert alone['text'] == 'blue moon. ring'


def test_a_long_caption_does_not_keep_shorter_ones_out():
    assert fitting_captions(7, [6, 40, 6], 30, [1, 0, 2]) == [0, 2]
    assert fitting_captions(7, [23], 30, [0]) == [] and fitting_captions(7, [22], 30, [0]) == [0]


def test_bad_packing():
    for settings in (
        dict(none_prob=-0.1), dict(full_prob=2), dict(number=0), dict(number=3, least=3),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            build('PackCaptions', **settings)
    packing = build('PackCaptions', none_prob=0.0)
    with pytest.raises(ValueError, match='caption_pool'):
        packing(caption('a', [], []))


def test_packed_samples_carry_the_texts():
    results = build('CaptionGrounding')(caption('a star', [[[2, 6]]], [0]))
    results |= dict(img=np.zeros((4, 5, 3), np.uint8), img_shape=(4, 5), phrase_types=[['base']])
    packed = TRANSFORMS.build(dict(type='mmclip.PackGroundingInputs'))(results)
    sample = packed['data_samples']
    assert packed['inputs'].shape == (3, 4, 5)
    assert sample.text == 'a star' and sample.phrase_spans == [[[2, 6]]]
    assert sample.phrase_types == [['base']] and sample.text_type == 'grounding'
    assert torch.equal(sample.gt_instances.labels, torch.tensor([0]))


def test_what_stands_between_two_classes():
    transform = build('DetToGrounding', all_classes=True, separator=' | ')
    results = transform(detection([3, 0], classes=('dog', 'cat', 'red star', 'person')))
    assert results['text'] == 'dog | cat | red star | person'
    spans = [[list(span) for span in pieces] for pieces in results['phrase_spans']]
    assert spans == [[[0, 3]], [[6, 9]], [[12, 20]], [[23, 29]]]
