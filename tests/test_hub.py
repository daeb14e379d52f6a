"""MMEngine's hub: models by the name of their config."""

import mmengine.hub
import pytest
import torch
from mmengine import Config
from mmengine.registry import MODELS, DefaultScope, init_default_scope

from mmclip import config_path

MINIS = [
    'vild/mini/vild_text_r18_mini.py',
    'vild/mini/clip_on_crops_r18_mini.py',
    'glip/mini/glip_t_mini.py',
    'glip/dyhead_swin-t_coco.py',
    'glipv2/mini/glipv2_mini.py',
    'lseg/mini/lseg_r18_mini.py',
    'group_vit/mini/group_vit_two_stage_mini.py',
    'action_clip/mini/action_clip_transf_mini.py',
    'clip4clip/mini/clip4clip_meanp_mini.py',
    'clip_zero_shot/mini/clip_zero_shot_mini.py',
]


@pytest.mark.parametrize('name', MINIS)
def test_get_model_builds_what_the_config_says(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    found = mmengine.hub.get_model(f'mmclip::{name}')
    assert DefaultScope.get_current_instance() is None, 'the scope is as before'
    config = Config.fromfile(config_path(name))
    init_default_scope(config.default_scope)
    torch.manual_seed(0)
    own = MODELS.build(config.model)
    assert str(found) == str(own)
    state = own.state_dict()
    assert found.state_dict().keys() == state.keys()
    assert all(torch.equal(v, state[k]) for k, v in found.state_dict().items())


def test_an_unknown_name_is_refused():
    with pytest.raises(Exception, match='vild_text_r18_minni'):
        mmengine.hub.get_model('mmclip::vild/vild_text_r18_minni.py')
