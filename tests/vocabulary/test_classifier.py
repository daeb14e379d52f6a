"""TextEmbeddingClassifier: scores in closed form, classes at run time, checkpoints."""

import pytest
import torch
import torch.nn.functional as F

from mmclip.text.class_names import class_names
from mmclip.vocabulary.classifier import TextEmbeddingClassifier
from mmclip.vocabulary.mixin import OpenVocabularyMixin
from mmclip.vocabulary.vocabulary import Vocabulary

TINY = dict(
    embed_dim=4,
    vision_cfg=dict(layers=1, width=32, head_width=16, patch_size=8, image_size=16),
    text_cfg=dict(context_length=77, vocab_size=49408, width=32, heads=2, layers=1),
)
ENCODER = dict(type='mmclip.CLIPTextEncoder', model=TINY)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('MMCLIP_CACHE', str(tmp_path / 'cache'))


def make(classes=('a', 'b'), **kwargs):
    return TextEmbeddingClassifier(classes=classes, text_encoder=ENCODER, **kwargs)


def file_of(tmp_path, rows):
    """A vocabulary file from name -> row."""
    path = tmp_path / 'vocabulary.safetensors'
    Vocabulary(tuple(rows), torch.tensor(list(rows.values()))).save(path)
    return str(path)


AXES = {'a': [1.0, 0, 0, 0], 'b': [0, 1.0, 0, 0], 'c': [0, 0, 1.0, 0]}


def test_logits_are_cosines_over_the_temperature(tmp_path):
    classifier = make(temperature=0.5, vocabulary_file=file_of(tmp_path, AXES))
    classifier.init_weights()
    with torch.no_grad():
        classifier.background.copy_(torch.tensor([0, 0, 0, 3.0]))
    logits = classifier(torch.tensor([[3.0, 4, 0, 0], [0, 0, 0, -2]]))
    torch.testing.assert_close(logits, torch.tensor([[1.2, 1.6, 0], [0, 0, -2.0]]))
    assert logits.dtype == torch.float32


@pytest.mark.parametrize('background, columns', [('learned', 3), ('zero', 3), (None, 2)])
def test_background_column_is_last(background, columns, tmp_path):
    classifier = make(background=background, vocabulary_file=file_of(tmp_path, AXES))
    classifier.init_weights()
    logits = classifier(torch.randn(5, 4))
    assert logits.shape == (5, columns)
    if background == 'zero':
        assert (logits[:, -1] == 0).all()
    assert any(name == 'background' for name, _ in classifier.named_parameters()) == (
        background == 'learned'
    )


def test_no_features_with_backward_and_half_precision(tmp_path):
    classifier = make(vocabulary_file=file_of(tmp_path, AXES))
    classifier.init_weights()
    features = torch.empty(0, 4, requires_grad=True)
    classifier(features).sum().backward()
    assert features.grad.shape == (0, 4)
    with torch.autocast('cpu', torch.bfloat16):
        logits = classifier(torch.tensor([[1.0, 0.01, 0, 0]], dtype=torch.bfloat16))
    assert logits.dtype == torch.float32


def test_set_classes_takes_rows_by_name_and_only_encodes_what_is_new(tmp_path, monkeypatch):
    classifier = make(vocabulary_file=file_of(tmp_path, AXES))
    classifier.set_classes(['c', 'a'])
    assert classifier.num_classes == 2 and classifier.class_names == ('c', 'a')
    torch.testing.assert_close(classifier.embeddings, torch.eye(4)[[2, 0]])
    asked = []
    real = classifier.text_encoder.encode_names
    monkeypatch.setattr(
        classifier.text_encoder, 'encode_names', lambda n, p: asked.append(tuple(n)) or real(n, p)
    )
    classifier.set_classes(['new', 'a'])
    assert asked == [('new',)]
    torch.testing.assert_close(classifier.embeddings[1], torch.eye(4)[0])


def test_other_prompts_encode_everything_anew(tmp_path):
    classifier = make(vocabulary_file=file_of(tmp_path, AXES))
    classifier.init_weights()
    classifier.set_classes(['a', 'b'], prompts='name')
    assert not torch.allclose(classifier.embeddings, torch.eye(4)[:2])
    same = classifier.embeddings.clone()
    classifier.set_classes(['a', 'b'])  # None keeps the present prompts
    assert torch.equal(same, classifier.embeddings)


def test_a_failing_set_classes_changes_nothing(tmp_path):
    classifier = make(vocabulary_file=file_of(tmp_path, AXES))
    classifier.init_weights()
    before = {k: v.clone() for k, v in classifier.state_dict().items()}
    for bad in (['a', 'a'], [], [1]):
        with pytest.raises(ValueError, match='classes'):
            classifier.set_classes(bad)
    with pytest.raises(FileNotFoundError):
        classifier.set_classes(['a'], examples={'a': ['gone.png']})
    assert classifier.class_names == ('a', 'b')
    assert all(torch.equal(v, before[k]) for k, v in classifier.state_dict().items())


def test_a_checkpoint_carries_its_vocabulary(tmp_path):
    trained = make(classes=('a', 'b', 'c'), vocabulary_file=file_of(tmp_path, AXES))
    trained.init_weights()
    state = trained.state_dict()

    subset = make(classes=('c', 'a'))
    subset.load_state_dict(state)
    torch.testing.assert_close(subset.embeddings, torch.eye(4)[[2, 0]])
    assert torch.equal(subset.background, trained.background)
    # 'b' is still known, though it is not among this model's classes.
    subset.set_classes(['b'])
    torch.testing.assert_close(subset.embeddings, torch.eye(4)[[1]])
    assert {k: v.shape for k, v in state.items()} == {
        k: v.shape for k, v in trained.state_dict().items()
    }, 'loading leaves the state dict alone'


def test_a_run_that_goes_on_has_the_same_bits(tmp_path):
    unit = F.normalize(torch.randn(3, 4))
    rows = dict(zip('abc', unit.tolist(), strict=True))
    trained = make(classes=tuple('abc'), vocabulary_file=file_of(tmp_path, rows))
    trained.init_weights()
    again = make(classes=tuple('abc'))
    again.load_state_dict(trained.state_dict())
    assert torch.equal(again.embeddings, trained.embeddings)
    assert torch.equal(trained.embeddings, unit)


def test_names_that_the_checkpoint_lacks_wait_for_set_classes(tmp_path):
    trained = make(vocabulary_file=file_of(tmp_path, AXES))
    trained.init_weights()
    other = make(classes=('a', 'zebra'))
    other.load_state_dict(trained.state_dict())
    with pytest.raises(RuntimeError, match=r'set_classes\(\)'):
        other(torch.randn(1, 4))
    other.init_weights()
    torch.testing.assert_close(other.embeddings[0], torch.eye(4)[0])
    assert other(torch.randn(1, 4)).shape == (1, 3)


def test_scoring_before_the_embeddings_are_there_says_what_to_do():
    with pytest.raises(RuntimeError, match='tools/build_vocabulary.py'):
        make()(torch.randn(1, 4))


def test_a_checkpoint_of_another_width_is_an_error(tmp_path):
    state = dict(embeddings=torch.eye(5)[:2], background=torch.zeros(5))
    with pytest.raises(RuntimeError, match='size mismatch for embeddings'):
        make().load_state_dict({**make().state_dict(), **state})


def test_bake_drops_the_text_tower_and_keeps_the_scores(tmp_path):
    classifier = make(vocabulary_file=file_of(tmp_path, AXES))
    classifier.init_weights()
    features = torch.randn(3, 4)
    before = classifier(features)
    classifier.bake_vocabulary()
    assert classifier.text_encoder is None
    assert torch.equal(classifier(features), before)
    classifier.set_classes(['b'])
    with pytest.raises(ValueError, match='baked'):
        classifier.set_classes(['horse'])


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(background='black'), 'background: .*learned'),
        (dict(temperature=0), 'temperature: .*positive'),
        (dict(prompts='vild'), 'prompts: .*vild_63'),
        (dict(classes=['a', 'a']), 'classes: .*more than once'),
    ],
)
def test_bad_settings_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        make(**kwargs)


class Holder(OpenVocabularyMixin, torch.nn.ModuleList):
    pass


def test_set_classes_of_a_model_reaches_every_classifier(tmp_path):
    file = file_of(tmp_path, AXES)
    inner = torch.nn.ModuleDict({'a': make(vocabulary_file=file), 'b': torch.nn.Linear(1, 1)})
    model = Holder([inner, Holder([make(vocabulary_file=file)]), torch.nn.ModuleList([inner])])
    assert model.vocabulary_parts == [inner['a'], model[1]]
    assert model.class_names == ('a', 'b')
    model.set_classes(['c'])
    assert model.class_names == inner['a'].class_names == model[1][0].class_names == ('c',)
    model.bake_vocabulary()
    assert inner['a'].text_encoder is model[1][0].text_encoder is None
    with pytest.raises(ValueError, match='more than once'):
        model.set_classes(['c', 'c'])
    assert Holder().class_names == ()
    for ask in (Holder().bake_vocabulary, lambda: Holder().set_classes(['c'])):
        with pytest.raises(ValueError, match='Holder holds no mmclip.TextEmbeddingClassifier'):
            ask()


def test_gradients_match_the_formula(tmp_path):
    classifier = make(temperature=0.1, vocabulary_file=file_of(tmp_path, AXES)).double()
    classifier.init_weights()
    features = torch.randn(2, 4, requires_grad=True)
    expected = features.detach().clone().requires_grad_()
    classifier(features)[:, :2].sum().backward()
    (F.normalize(expected, dim=1)[:, :2] / 0.1).sum().backward()
    torch.testing.assert_close(features.grad, expected.grad)


def test_classes_of_the_data_set_are_none_until_they_are_given():
    classifier = make(classes='dataset')
    classifier.init_weights()
    assert classifier.class_names == () and classifier.num_classes == 0
    with pytest.raises(RuntimeError, match='the model has none yet'):
        classifier(torch.randn(2, 4))
    classifier.set_classes(['a', 'b'])
    assert classifier(torch.randn(2, 4)).shape == (2, 3)


def test_a_checkpoint_brings_its_classes(tmp_path):
    trained = make(classes=tuple('abc'), vocabulary_file=file_of(tmp_path, AXES))
    trained.init_weights()
    fresh = make(classes='dataset')
    fresh.load_state_dict(trained.state_dict())
    assert fresh.class_names == ('a', 'b', 'c')
    assert torch.equal(fresh.embeddings, trained.embeddings)
    # One saved before any class was given leaves them alone.
    fresh.load_state_dict(make(classes='dataset').state_dict() | {'background': fresh.background})
    assert fresh.class_names == ('a', 'b', 'c')


def test_the_vocabulary_file_goes_by_the_names(tmp_path, monkeypatch):
    names = class_names('voc20')
    classifier = make(
        classes='dataset', vocabulary_file=str(tmp_path / '{vocabulary}_{model}.safetensors')
    )
    file = tmp_path / f'voc20_{classifier.text_encoder.name}.safetensors'
    rows = F.normalize(torch.randn(20, 4), dim=1)
    Vocabulary(names, rows).save(file)
    classifier.set_classes(names[::-1])
    torch.testing.assert_close(classifier.embeddings, rows.flip(0))
    classifier.set_classes(['red star'])  # of no known vocabulary: the text tower
    assert classifier.class_names == ('red star',)
    # Without the file the text tower, and without its weights the command that makes the file.
    file.unlink()
    fresh = make(classes='dataset', vocabulary_file=classifier.vocabulary_file)
    fresh.set_classes(names)
    other = make(classes='dataset', vocabulary_file=classifier.vocabulary_file)
    monkeypatch.setattr(other.text_encoder, 'has_local_weights', lambda: False)
    with pytest.raises(FileNotFoundError, match='build_vocabulary.py --vocabulary voc20 --model'):
        other.set_classes(names)
