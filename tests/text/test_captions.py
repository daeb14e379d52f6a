"""Captions of class names; the fixture `captions` has the official ones."""

import pytest

from mmclip.text.captions import Caption, class_caption, clean_name, pack_captions


@pytest.mark.parametrize(
    'name, cleaned',
    [
        ('hot_dog_(food)', 'hot dog '),
        ('a_b__c (d) (e) f', 'a b c f'),
        ('x(y_z', 'x(y z'),
        ('dog', 'dog'),
        # The official code leaves nothing of these.
        ('(animal)', 'animal'),
        ('_', '_'),
    ],
)
def test_cleaning(name, cleaned):
    assert clean_name(name) == cleaned


def test_each_class_is_where_its_span_says():
    names = ['st. bernard', 'mr. potato_head (toy)', 'dog', 'a.b.c']
    caption = class_caption(names)
    assert caption.text == 'st. bernard. mr. potato head . dog. a.b.c'
    assert [caption.phrase(i) for i in range(len(caption))] == [clean_name(n) for n in names]


def test_words_around_a_name_are_not_the_class():
    prompts = [dict(prefix='there are some ', name='holes', suffix=' on the road'), {}]
    caption = class_caption(['pothole', 'car'], prompts=prompts, intro='see: ', suppress=['sky'])
    assert caption.text == 'see: there are some holes on the road. car. sky'
    assert [caption.phrase(i) for i in range(2)] == ['holes', 'car'] and len(caption) == 2


@pytest.mark.parametrize('names', [[], (), 'person'])
def test_no_names_are_an_error(names):
    with pytest.raises(ValueError, match='names'):
        class_caption(names)


def test_prompts_of_another_length_are_an_error():
    with pytest.raises(ValueError, match='prompts: 1 for 2'):
        class_caption(['a', 'b'], prompts=[{}])


def test_packing_moves_the_spans():
    caption = Caption('a cat', (((2, 5),), ((0, 1), (2, 5))))
    packed, place = pack_captions(caption, ['one.', 'two'], [2, 0, 1])
    assert packed.text == 'two. a cat. one. '
    assert packed.spans == (((7, 10),), ((5, 6), (7, 10)))
    assert packed.phrase(0) == 'cat' and packed.text[slice(*place)] == 'a cat'


def test_packing_an_empty_caption_of_no_phrases():
    packed, place = pack_captions(Caption('', ()), [], [0])
    assert packed == Caption('. ', ()) and place == (0, 0)
