"""Sets of templates: their sizes, ViLD's rules by hand, one's own templates, mistakes."""

import pytest

from mmclip.text.prompts import PROMPT_SETS, ClassPrompts, get_prompts


def test_sizes():
    sizes = {name: len(prompts.templates) for name, prompts in PROMPT_SETS.items()}
    known = dict(
        name=1, single=1, imagenet_7=7, imagenet_80=80, cifar_18=18, vild_single=1, vild_63=63
    )
    assert sizes | known == sizes
    for prompts in PROMPT_SETS.values():
        assert len(set(prompts.templates)) == len(prompts.templates)


def test_known_sentences():
    assert get_prompts('single').format('cat') == ['a photo of a cat.']
    assert get_prompts('imagenet_7').format('cat')[0] == 'itap of a cat.'
    assert get_prompts('imagenet_80').format('cat')[0] == 'a bad photo of a cat.'
    cifar = get_prompts('cifar_18').format('cat')
    assert cifar[1] == 'a blurry photo of a cat.' and cifar[-1] == 'a photo of the big cat.'


@pytest.mark.parametrize(
    ('name', 'first'),
    [
        ('aerosol_can', 'There is an aerosol can in the scene.'),
        ('Apple', 'There is a apple in the scene.'),
        ('dog/cat', 'There is a dog or cat in the scene.'),
        ('T-shirt.', 'There is a t-shirt in the scene.'),
    ],
)
def test_vild_rules(name, first):
    sentences = get_prompts('vild_63').format(name)
    assert sentences[0] == first
    assert sentences[4].startswith('This is a photo of one ')
    assert sentences[5].startswith('itap of a')


def test_braces_in_a_name_are_words():
    assert get_prompts('single').format('{x}') == ['a photo of a {x}.']
    assert get_prompts('a {} {}').format('b') == ['a b b']


def test_own_templates():
    assert get_prompts(['{}', 'one {}']).format('cat') == ['cat', 'one cat']


@pytest.mark.parametrize(
    ('prompts', 'message'),
    [
        ('imagenet80', 'imagenet_80'),
        ([], 'every template needs'),
        (['a photo'], 'a photo'),
        ([3], '3'),
    ],
)
def test_mistakes(prompts, message):
    with pytest.raises(ValueError, match=message):
        get_prompts(prompts)


# -- sentences of each class ----------------------------------------------------------------------


def test_sentences_of_each_class_from_a_file(tmp_path):
    path = tmp_path / 'sentences.json'
    prompts = get_prompts(str(path))  # built before the file is there
    assert prompts == ClassPrompts(path)
    path.write_text('{"flower_pot": "a pot", "Sofa": ["soft", "to sit on"]}')
    assert prompts.format('flower pot') == ['a pot'] and prompts.format('sofa')[1] == 'to sit on'
    assert prompts.templates == ('a pot', 'soft', 'to sit on')
    before = repr(prompts)
    path.write_text('{"flower_pot": "another pot"}')
    assert prompts.format('Flower_Pot') == ['another pot'] and repr(prompts) != before


@pytest.mark.parametrize(
    ('content', 'told'),
    [
        ('{"a": []}', "'a' has no sentence"),
        ('{"a": " "}', "'a' has no sentence, or an empty one"),
        ('{"a": [1]}', 'entry 0 is 1, not a text'),
        ('["a"]', 'expected an object'),
        ('{"a": "x", "a": "y"}', "the key 'a' comes more than once"),
        ('{"b": "x"}', "no sentence for the class 'a'; it is of 1 classes, e.g. 'b'"),
        ('{', 'is no json'),
    ],
)
def test_a_file_that_is_not_of_these_classes(content, told, tmp_path):
    path = tmp_path / 'sentences.json'
    with pytest.raises(FileNotFoundError, match='sentences.json: there is no such file'):
        get_prompts(str(path)).format('a')
    path.write_text(content)
    with pytest.raises(ValueError, match=told) as error:
        get_prompts(str(path)).format('a')
    assert 'sentences.json' in str(error.value)
