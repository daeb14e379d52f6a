"""A model json asks for an architecture: nothing in it, or beside it, runs code."""

import builtins
import json
import runpy
import sys
from copy import deepcopy
from pathlib import Path

import open_clip
import pytest

from mmclip.clip.loading import ASSETS, build_clip, clip_config, clip_preprocess
from mmclip.clip.text_encoder import CLIPTextEncoder
from mmclip.clip.trunk import CLIPTrunk
from mmclip.models.action_clip.text_tower import TransformersTower

MINI = json.loads((ASSETS / 'mini_clip.json').read_text())
TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'build_vocabulary.py'
BERT = dict(
    model_type='bert', vocab_size=64, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
    intermediate_size=64, max_position_embeddings=20, pad_token_id=0,
)  # fmt: skip


@pytest.fixture
def evil(tmp_path, monkeypatch):
    """A folder whose tokenizer, config and model bring Python; a user who says yes to everything.

    What ran leaves a file.
    """
    folder, marker = tmp_path / 'evil', tmp_path / 'it-ran'
    folder.mkdir()
    (folder / 'tok.py').write_text(f'open({str(marker)!r}, "w").close()\n')
    (folder / 'tokenizer_config.json').write_text(
        json.dumps(dict(auto_map=dict(AutoTokenizer=['tok.T', None])))
    )
    own = dict(auto_map=dict(AutoConfig='tok.C', AutoModel='tok.M'), model_type='evil')
    (folder / 'config.json').write_text(json.dumps(own))
    monkeypatch.setattr(builtins, 'input', lambda *args: 'y')
    monkeypatch.setenv('HF_MODULES_CACHE', str(tmp_path / 'modules'))
    yield folder
    assert not marker.exists()


def write(tmp_path: Path, text: dict | None = None, vision: dict | None = None, **top) -> str:
    config = deepcopy(MINI)
    config['text_cfg'].update(text or {})
    config['vision_cfg'].update(vision or {})
    path = tmp_path / 'evil.json'
    path.write_text(json.dumps(config | top))
    return str(path)


def test_every_model_of_open_clip_passes():
    for name in (*open_clip.list_models(), 'mini_clip'):
        clip_config(name)


@pytest.mark.parametrize('kwargs', [{}, {'trust_remote_code': True}, {'code_revision': 'x'}])
def test_a_tokenizers_python_is_not_run(kwargs, evil, tmp_path):
    model = write(tmp_path, dict(hf_tokenizer_name=str(evil), tokenizer_kwargs=kwargs))
    keys = 'tokenizer_kwargs.' + next(iter(kwargs)) if kwargs else 'hf_tokenizer_name.*never run'
    with pytest.raises(ValueError, match=rf'evil\.json: text_cfg\.{keys}'):
        CLIPTextEncoder(model=model).tokenize(['a'])


def test_build_vocabulary_does_not_run_it(evil, tmp_path, monkeypatch):
    kwargs = dict(trust_remote_code=True)
    model = write(tmp_path, dict(hf_tokenizer_name=str(evil), tokenizer_kwargs=kwargs))
    out = tmp_path / 'v.safetensors'
    line = f'{TOOL} --names a --model {model} --pretrained mini_clip --out {out}'
    monkeypatch.setattr(sys, 'argv', line.split())
    with pytest.raises(SystemExit, match=r'evil\.json: text_cfg\.tokenizer_kwargs\.trust_remote'):
        runpy.run_path(str(TOOL), run_name='__main__')
    assert not out.exists()


def test_a_text_models_python_is_not_run(evil, tmp_path):
    model = write(tmp_path, dict(hf_model_name=str(evil), hf_pooler_type='cls_pooler'))
    with pytest.raises(ValueError, match=r'text_cfg\.hf_model_name: .*evil.*never run'):
        build_clip(model)
    with pytest.raises(ValueError, match=r'text_tower\.name: .*evil.*never run'):
        TransformersTower(name=str(evil), embed_dim=8)
    tower = TransformersTower(name=str(evil), embed_dim=8, config=BERT)
    with pytest.raises(ValueError, match=r'text_tower\.name: .*evil.*never run'):
        tower.load_pretrained()
    with pytest.raises(ValueError, match=r'text_tower\.name: .*evil.*never run'):
        tower.tokenize(['a'])
    # A known kind of model is built by transformers' own code, whatever else the folder brings.
    known = dict(BERT, auto_map=dict(AutoConfig='tok.C', AutoModel='tok.M'))
    (evil / 'config.json').write_text(json.dumps(known))
    build_clip(model)
    TransformersTower(name=str(evil), embed_dim=8)


def test_a_kernel_of_the_hub_is_refused(evil, tmp_path):
    config = dict(BERT, attn_implementation='kernels-community/flash-attn')
    (evil / 'config.json').write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"attn_implementation='kernels-community/flash-attn'"):
        build_clip(write(tmp_path, dict(hf_model_name=str(evil))))
    nested = dict(BERT, parts=[dict(_attn_implementation={'': 'kernels-community/x'})])
    (evil / 'config.json').write_text(json.dumps(nested))
    with pytest.raises(ValueError, match=r'wants code of the hub, _attn_implementation='):
        build_clip(write(tmp_path, dict(hf_model_name=str(evil))))
    no_text = dict(model_type='vision-encoder-decoder', encoder=BERT, decoder=BERT)
    (evil / 'config.json').write_text(json.dumps(no_text))
    with pytest.raises(ValueError, match='transformers has no model of its own'):
        build_clip(write(tmp_path, dict(hf_model_name=str(evil))))


@pytest.mark.parametrize(
    'part, options, message',
    [
        ('vision', dict(timm_model_name='hf-hub:me/evil'), r'vision_cfg\.timm_model_name'),
        ('vision', dict(timm_model_name='local-dir:evil'), r'vision_cfg\.timm_model_name'),
        ('vision', dict(timm_pool='../x'), r'vision_cfg\.timm_pool'),
        ('vision', dict(act_kwargs=dict(inplace=True)), r'act_kwargs\.inplace is not allowed'),
        ('vision', dict(norm_kwargs=dict(eps='1')), r"norm_kwargs\.eps is '1', not a number"),
        ('vision', dict(width='768'), r"vision_cfg\.width is '768', not a number"),
        ('vision', dict(withd=768), r'unknown option vision_cfg\.withd; close ones: width'),
        ('text', dict(hf_pooler_type='os.system'), r'text_cfg\.hf_pooler_type'),
        ('text', dict(hf_model_name=['a']), r'text_cfg\.hf_model_name'),
        ('text', dict(tokenizer_kwargs='x'), r'text_cfg\.tokenizer_kwargs is no object'),
        ('text', dict(tokenizer_kwargs=dict(bpe_path='/x')), r'tokenizer_kwargs\.bpe_path'),
        ('text', dict(tokenizer_mode={}), r'text_cfg\.tokenizer_mode'),
        ('top', dict(output_dict=True), r'unknown option output_dict'),
        ('top', dict(text_cfg=None), r'text_cfg is no object'),
        ('top', dict(embed_dim='x'), r"embed_dim is 'x', not a whole number"),
        ('top', dict(embed_dim=None), r'embed_dim is None, not a whole number'),
        ('top', dict(embed_dim=0), r'embed_dim is 0, less than 1'),
        ('text', dict(width=float('nan')), r'text_cfg\.width is nan, not a number'),
        ('text', dict(layers=10**25), r'text_cfg\.layers is 1000.*; at most 1000 is allowed'),
        ('text', dict(vocab_size=10**12), r'text_cfg\.vocab_size is 1000.*at most 16777216'),
    ],
)
def test_other_options_are_refused_by_name(part, options, message, tmp_path):
    model = write(tmp_path, **(options if part == 'top' else {part: options}))
    with pytest.raises(ValueError, match=rf'^model: .*evil\.json.*{message}'):
        build_clip(model)
    with pytest.raises(ValueError, match=message):
        CLIPTrunk(model=json.loads(Path(model).read_text()))


@pytest.mark.parametrize('option', ['width', 'layers', 'context_length', 'vocab_size', 'mlp_ratio'])
def test_sizes_of_which_no_model_can_be_built_are_told_with_the_file(option, tmp_path):
    for value in (-1, [1], None):
        model = write(tmp_path, {option: value})
        if (option, value) != ('layers', -1):
            with pytest.raises(ValueError, match=r'^model: .*evil\.json: .*; .* its sizes$'):
                build_clip(model)
    with pytest.raises(ValueError, match=r'^model: .*evil\.json: text_cfg\.context_length is None'):
        CLIPTextEncoder(model=write(tmp_path, dict(context_length=None))).tokenize(['a'])
    with pytest.raises(ValueError, match=r"^model: .*text_cfg\.hf_model_name: '/no/folder': "):
        build_clip(write(tmp_path, dict(hf_model_name='/no/folder')))


@pytest.mark.parametrize(
    'text, message',
    [
        ('[' * 100000, 'nested too deeply'),
        ('[]', 'expected an object, got a list'),
        ('{}', 'lacks embed_dim'),
        ('{"model_cfg": 5}', 'is no object'),
        ('{', 'is no json or is cut off'),
        ('\udcff', 'no UTF-8'),
    ],
)
def test_a_damaged_json_is_named(text, message, tmp_path):
    path = tmp_path / 'bad.json'
    path.write_text(text, errors='surrogateescape')
    with pytest.raises(ValueError, match=rf'^model: .*bad\.json.*{message}'):
        clip_config(str(path))


@pytest.mark.parametrize(
    'known',
    [
        5,
        dict(mean=[0, 0]),
        dict(std=['a'] * 3),
        dict(mean=[0, 0, 1e999]),
        dict(interpolation='x'),
        dict(resize_mode=['squash']),
    ],
)
def test_a_folders_transform_is_checked(known, tmp_path):
    (tmp_path / 'open_clip_config.json').write_text(json.dumps(dict(preprocess_cfg=known)))
    with pytest.raises(ValueError, match=r'pretrained: .*open_clip_config\.json: preprocess_cfg'):
        clip_preprocess('mini_clip', str(tmp_path))
