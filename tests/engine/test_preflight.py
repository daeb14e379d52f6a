"""Which files a config names are looked for before anything is built."""

import pytest
from mmengine.config import Config

from mmclip.engine.preflight import needed_files


def found(**model):
    return {need.path: need.where for need in needed_files(Config(dict(model=model)), train=True)}


@pytest.mark.parametrize(
    ('node', 'needed'),
    [
        (dict(pretrained='a/x.pth'), 'model.part.pretrained'),  # weights by their ending alone
        (dict(pretrained='ViT-B-32'), None),  # a name
        (dict(type='Pretrained', checkpoint='a/x.pth'), 'model.part.checkpoint'),
        (dict(type='mmengine.Pretrained', checkpoint='a/x'), 'model.part.checkpoint'),  # by type
        (dict(checkpoint='a/x'), None),  # neither
        (dict(type='Pretrained', checkpoint='torchvision://resnet50'), None),
        (dict(type='Pretrained', checkpoint=None), None),
    ],
)
def test_weights_are_known_by_their_ending_or_by_the_type_beside_them(node, needed):
    expected = {} if needed is None else {node.get('pretrained') or node['checkpoint']: needed}
    assert found(part=node) == expected
