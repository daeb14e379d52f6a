"""Vocabulary: names to embeddings, cache, files, and what goes wrong."""

import json
import logging
import os
from pathlib import Path

import pytest
import safetensors
import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger
from PIL import Image
from safetensors.torch import save_file

from mmclip.clip.text_encoder import CLIPTextEncoder
from mmclip.text.class_names import class_names, known_vocabularies, novel_names
from mmclip.vocabulary import disk_cache
from mmclip.vocabulary.disk_cache import cache_folder
from mmclip.vocabulary.vocabulary import Vocabulary, normalize_rows

TINY = dict(
    embed_dim=16,
    vision_cfg=dict(layers=1, width=32, head_width=16, patch_size=8, image_size=16),
    text_cfg=dict(context_length=77, vocab_size=49408, width=32, heads=2, layers=1),
)


@pytest.fixture
def encoder(tmp_path, monkeypatch):
    monkeypatch.setenv('MMCLIP_CACHE', str(tmp_path / 'cache'))
    torch.manual_seed(0)
    return CLIPTextEncoder(model=TINY)


@pytest.mark.parametrize(
    'name, size, novel',
    [
        ('coco80', 80, 0),
        ('imagenet', 1000, 0),
        ('lvis_v1', 1203, 337),
        ('mini_world', 384, 168),
        ('objects365_v2', 365, 0),
        ('ov_coco', 65, 17),
        ('voc20', 20, 0),
    ],
)
def test_known_vocabularies_have_their_sizes_and_novel_parts(name, size, novel):
    assert (len(class_names(name)), len(novel_names(name))) == (size, novel)


@pytest.mark.parametrize('name', known_vocabularies())
def test_every_known_vocabulary_passes_as_a_list_and_holds_its_novel_names(name):
    names = class_names(name)
    assert class_names(list(names)) == names
    assert novel_names(name) <= set(names)


@pytest.mark.parametrize(
    'names, message',
    [
        ([], 'at least one'),
        (['cat', ''], 'entry 1 is empty'),
        (['cat', ' \t'], 'entry 1 is empty'),
        (['cat', 'dog', 'cat'], "more than once: 'cat'"),
        (['cat', 3], 'entry 1 is 3, a int'),
        ('lvis', 'lvis_v1'),
        ('../mini_clip', 'unknown vocabulary'),
    ],
)
def test_bad_names_are_named(names, message):
    with pytest.raises(ValueError, match=f'classes: .*{message}'):
        class_names(names)


def test_unicode_and_very_long_names_are_encoded(encoder):
    names = ['猫', 'crème brûlée', 'x ' * 5000]
    vocabulary = Vocabulary.encode(names, text_encoder=encoder)
    assert vocabulary.embeddings.shape == (3, 16)
    torch.testing.assert_close(vocabulary.embeddings.norm(dim=1), torch.ones(3))


def test_encode_equals_the_sentence_encoded_alone(encoder):
    vocabulary = Vocabulary.encode(['cat', 'big dog'], text_encoder=encoder, prompts='single')
    ids = encoder.tokenize(['a photo of a cat.', 'a photo of a big dog.'])
    expected = F.normalize(encoder.clip.encode_text(ids), dim=1)
    torch.testing.assert_close(vocabulary.embeddings, expected, atol=1e-6, rtol=0)


def test_the_second_time_comes_from_the_cache_without_the_tower(encoder, monkeypatch):
    first = Vocabulary.encode(['cat', 'dog'], text_encoder=encoder)
    assert len(list(cache_folder().glob('*.safetensors'))) == 1
    monkeypatch.setattr(encoder, 'encode_names', None)
    again = Vocabulary.encode(['cat', 'dog'], text_encoder=encoder)
    assert torch.equal(first.embeddings, again.embeddings)
    # Other prompts and other weights are another entry.
    monkeypatch.undo()
    monkeypatch.setenv('MMCLIP_CACHE', str(cache_folder().parent))
    other = Vocabulary.encode(['cat', 'dog'], text_encoder=encoder, prompts='name')
    assert not torch.allclose(first.embeddings, other.embeddings)


def test_a_run_is_the_same_whether_the_words_were_cached_or_not(encoder):
    def next_number(encoder: CLIPTextEncoder) -> tuple[torch.Tensor, float]:
        torch.manual_seed(5)
        rows = Vocabulary.encode(['cat', 'dog'], text_encoder=encoder).embeddings
        return rows, torch.rand(()).item()

    weights = dict(model='mini_clip', pretrained='mini_clip')
    encoded, first = next_number(CLIPTextEncoder(**weights))
    cached, second = next_number(CLIPTextEncoder(**weights))
    assert torch.equal(encoded, cached) and first == second


def test_a_damaged_cache_entry_is_said(encoder):
    Vocabulary.encode(['cat'], text_encoder=encoder)
    path = next(cache_folder().glob('*.safetensors'))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match=r'cut off'):
        Vocabulary.load(path)
    # The cache mends itself: nothing in it is precious.
    assert len(Vocabulary.encode(['cat'], text_encoder=encoder)) == 1
    assert len(Vocabulary.load(path)) == 1


def flip(path, where: bytes) -> None:
    data = bytearray(path.read_bytes())
    data[data.rindex(where) + len(where) // 2] ^= 1
    path.write_bytes(data)


def test_a_flipped_bit_is_found_in_files_and_mended_in_the_cache(encoder):
    first = Vocabulary.encode(['cat', 'dog'], text_encoder=encoder)
    path = next(cache_folder().glob('*.safetensors'))
    for part in (first.embeddings.numpy().tobytes(), b'"cat', b'photo', b'weight_hash'):
        flip(path, part.replace(b'"cat', b'cat'))
        with pytest.raises(ValueError, match=f'{path.name}: .*(checksum|tools/build_vocabulary)'):
            Vocabulary.load(path)
        again = Vocabulary.encode(['cat', 'dog'], text_encoder=encoder)
        assert torch.equal(again.embeddings, first.embeddings)
        Vocabulary.load(path, checksum=True)


def rewrite(path, tensors=None, **metadata):
    with safetensors.safe_open(path, 'pt') as file:
        old, found = file.get_tensor('embeddings'), file.metadata()
    found.pop('checksum', None)
    entries = {k: v for k, v in (found | metadata).items() if v is not None}
    save_file({'embeddings': old} if tensors is None else tensors, path, entries)


@pytest.mark.parametrize(
    'change',
    [
        dict(names='5'),
        dict(names='"cat"'),
        dict(names='[["cat"]]'),
        dict(names='[' * 100000),
        dict(names=None),
        dict(names='[]'),
        dict(prompts='{}'),
        dict(prompts='[5]'),
        dict(tensors={'embeddings': torch.ones(1)}),
        dict(tensors={'embeddings': torch.ones(1, 2, 3)}),
        dict(tensors={'other': torch.ones(1, 16)}),
        dict(tensors={'embeddings': torch.full((1, 16), float('nan'))}),
    ],
)
def test_odd_files_are_named_and_a_cache_of_them_heals(encoder, change):
    first = Vocabulary.encode(['cat'], text_encoder=encoder)
    path = next(cache_folder().glob('*.safetensors'))
    rewrite(path, **change)
    with pytest.raises(ValueError, match=f'vocabulary_file: .*{path.name}: .*build_vocabulary'):
        Vocabulary.load(path)
    assert torch.equal(
        Vocabulary.encode(['cat'], text_encoder=encoder).embeddings, first.embeddings
    )
    Vocabulary.load(path)


def test_files_of_earlier_versions_have_no_checksum(encoder, tmp_path):
    vocabulary = Vocabulary(('cat',), torch.eye(16)[:1])
    vocabulary.save(tmp_path / 'v.safetensors')
    rewrite(tmp_path / 'v.safetensors')
    assert Vocabulary.load(tmp_path / 'v.safetensors').names == ('cat',)
    with pytest.raises(ValueError, match='checksum'):
        Vocabulary.load(tmp_path / 'v.safetensors', checksum=True)


def test_the_entry_of_other_names_is_not_taken(encoder):
    right = Vocabulary.encode(['cat'], text_encoder=encoder)
    path = next(cache_folder().glob('*.safetensors'))
    Vocabulary(('dog',), torch.eye(16)[:1], right.prompts).save(path)
    assert torch.equal(
        Vocabulary.encode(['cat'], text_encoder=encoder).embeddings, right.embeddings
    )
    assert Vocabulary.load(path).names == ('cat',)


@pytest.mark.parametrize('place', ['file', 'below a file', 'no home'])
def test_a_cache_that_cannot_be_written_is_one_warning(encoder, place, tmp_path, monkeypatch):
    expected = Vocabulary.encode(['cat'], text_encoder=encoder, cache=False).embeddings
    (tmp_path / 'file').write_text('mine')
    if place == 'no home':
        monkeypatch.delenv('MMCLIP_CACHE')
        monkeypatch.setattr(Path, 'home', classmethod(lambda cls: no_home()))
    else:
        name = 'file' if place == 'file' else 'file/below/it'
        monkeypatch.setenv('MMCLIP_CACHE', str(tmp_path / name))
    logger, lines = MMLogger.get_instance('test_vocabulary'), []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger.addHandler(handler)
    monkeypatch.setattr(disk_cache, '_WARNED', set())
    for names in (['cat'], ['cat'], ['cat', 'dog']):
        found = Vocabulary.encode(names, text_encoder=encoder)
        torch.testing.assert_close(found.embeddings[:1], expected)
    logger.removeHandler(handler)
    assert len(lines) == 1 and 'cannot be kept' in lines[0] and 'MMCLIP_CACHE' in lines[0]
    assert (tmp_path / 'file').read_text() == 'mine'


def no_home():
    raise RuntimeError('Could not determine home directory.')


def test_what_killed_writers_left_is_swept(encoder):
    folder = cache_folder()
    folder.mkdir(parents=True)
    old, new = folder / '.a.safetensors.partial-host-1', folder / '.b.safetensors.partial-host-2'
    for path in (old, new):
        path.write_text('half')
    os.utime(old, (1, 1))
    Vocabulary.encode(['cat'], text_encoder=encoder)
    assert not old.exists() and new.exists()


def test_a_file_keeps_everything(encoder, tmp_path):
    vocabulary = Vocabulary.encode(['cat', 'dog'], text_encoder=encoder, prompts=['a {}', 'the {}'])
    vocabulary.save(tmp_path / 'v.safetensors')
    again = Vocabulary.load(tmp_path / 'v.safetensors', text_encoder=encoder)
    assert again.names == ('cat', 'dog') and again.prompts == ('a {}', 'the {}')
    assert again.weight_hash == encoder.weight_hash()
    torch.testing.assert_close(again.embeddings, vocabulary.embeddings)
    assert [p.name for p in tmp_path.iterdir() if p.suffix == '.safetensors'] == ['v.safetensors']


def test_the_file_of_another_tower_is_refused(encoder, tmp_path):
    path = tmp_path / 'v.safetensors'
    Vocabulary.encode(['cat'], text_encoder=encoder).save(path)
    torch.manual_seed(1)
    other_weights = CLIPTextEncoder(model={**TINY, 'quick_gelu': True})
    with pytest.raises(ValueError, match='other weights'):
        Vocabulary.load(path, text_encoder=other_weights)
    other_model = CLIPTextEncoder(model='ViT-B-32-quickgelu')
    with pytest.raises(ValueError, match=r'16 dimensions.*512'):
        Vocabulary.load(path, text_encoder=other_model)
    same_size = CLIPTextEncoder(model='ViT-B-16', pretrained='openai')
    renamed = Vocabulary(('cat',), F.normalize(torch.ones(1, 512)), model='ViT-B-32')
    renamed.save(path)
    with pytest.raises(ValueError, match=r'made by ViT-B-32.*ViT-B-16'):
        Vocabulary.load(path, text_encoder=same_size)


def test_a_missing_file_names_the_tool(tmp_path):
    with pytest.raises(FileNotFoundError, match='tools/build_vocabulary.py'):
        Vocabulary.load(tmp_path / 'none.safetensors')


def test_rows_must_be_normalized_finite_and_as_many_as_names():
    with pytest.raises(ValueError, match='one row for each of 2'):
        Vocabulary(('a', 'b'), torch.eye(3))
    with pytest.raises(ValueError, match=r"normalized; that of 'b'"):
        Vocabulary(('a', 'b'), torch.tensor([[1.0, 0], [0, 2]]))
    with pytest.raises(ValueError, match='finite'):
        Vocabulary(('a',), torch.tensor([[float('nan'), 1]]))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64, torch.int64])
def test_rows_of_any_type_become_float32_of_norm_one(dtype):
    rows = normalize_rows(torch.tensor([[3, 4, 0], [0, 0, 2], [1, 0, 0]]).to(dtype))
    assert rows.dtype == torch.float32
    torch.testing.assert_close(rows, torch.tensor([[0.6, 0.8, 0], [0, 0, 1], [1, 0, 0]]))
    assert torch.equal(normalize_rows(rows), rows)


def test_select_reorders_by_name():
    vocabulary = Vocabulary(('a', 'b', 'c'), torch.eye(3))
    assert torch.equal(vocabulary.select(['c', 'a']).embeddings, torch.eye(3)[[2, 0]])
    with pytest.raises(ValueError, match="1 of 2 are not in the vocabulary, e.g. 'z'"):
        vocabulary.select(['a', 'z'])


def test_images_alone_words_alone_and_both(encoder, tmp_path):
    for index, color in enumerate(('red', 'blue')):
        Image.new('RGB', (20, 30), color).save(tmp_path / f'{index}.png')
    file = tmp_path / 'examples.json'
    file.write_text(
        json.dumps(
            {
                'images': ['0.png', '1.png'],
                'both': dict(images=['1.png'], with_words=True),
                'unasked': ['0.png'],
            }
        )
    )
    names = ['words', 'images', 'both']
    made = Vocabulary.encode(names, text_encoder=encoder, examples=file)
    words = Vocabulary.encode(names, text_encoder=encoder)
    red, blue = encoder.encode_images([Image.open(tmp_path / f'{i}.png') for i in (0, 1)])
    expected = torch.stack([words.embeddings[0], red + blue, blue + words.embeddings[2]])
    torch.testing.assert_close(made.embeddings, F.normalize(expected, dim=1), atol=1e-6, rtol=0)


def test_bad_examples_are_named(encoder, tmp_path):
    (tmp_path / 'no.png').write_text('not an image')
    cases = {
        'among the 1 class names': {'dog': ['x.png']},
        'has no image': {'cat': []},
        'is not a readable image: cut off': {'cat': [str(tmp_path / 'no.png')]},
    }
    for message, examples in cases.items():
        with pytest.raises(ValueError, match=message):
            Vocabulary.encode(['cat'], text_encoder=encoder, examples=examples)
    with pytest.raises(FileNotFoundError, match="of class 'cat' does not exist"):
        Vocabulary.encode(['cat'], text_encoder=encoder, examples={'cat': ['gone.png']})
