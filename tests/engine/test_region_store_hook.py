"""The look at the region store before training."""

from types import SimpleNamespace

import pytest
import torch
from mmdet.datasets.transforms import RandomShift
from mmengine.dataset import Compose
from torch import nn

from mmclip.clip.text_encoder import CLIPTextEncoder
from mmclip.datasets.transforms.teacher_embeddings import LoadTeacherEmbeddings
from mmclip.engine.region_store_hook import RegionStoreHook
from mmclip.stores.regions import (
    Regions,
    shard_path,
    write_index,
    write_meta,
    write_shard,
)
from mmclip.vocabulary.classifier import TextEmbeddingClassifier


@pytest.fixture
def load(tmp_path):
    encoder = CLIPTextEncoder(model='mini_clip')  # random weights
    teacher = dict(model='mini_clip', image_hash='a', text_hash=encoder.weight_hash())
    meta = write_meta(tmp_path, dict(teacher=teacher, shards=1, embed_dim=128))
    regions = Regions(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, 128))
    write_shard(shard_path(tmp_path, 0, 1), {3: regions, 4: regions}, meta['fingerprint'])
    write_index(tmp_path, meta)
    return LoadTeacherEmbeddings(store=tmp_path)


class Data:
    def __init__(self, ids, *transforms):
        self.ids, self.pipeline = ids, Compose(list(transforms))

    def __len__(self):
        return len(self.ids)

    def get_data_info(self, index):
        return dict(img_id=self.ids[index])


def runner(dataset, model='mini_clip'):
    encoder = dict(type='mmclip.CLIPTextEncoder', model=model)
    classifier = TextEmbeddingClassifier(classes=['a'], text_encoder=encoder)
    loader = SimpleNamespace(dataset=SimpleNamespace(dataset=dataset))  # as RepeatDataset wraps
    return SimpleNamespace(train_dataloader=loader, model=nn.Sequential(classifier))


def test_all_is_well_and_more_images_do_no_harm(load):
    RegionStoreHook().before_train(runner(Data([3], load)))


def test_what_does_not_fit_stops_before_training(load):
    hook = RegionStoreHook()
    with pytest.raises(ValueError, match=r'1 of 2 images are not in the region store.*\[5\]'):
        hook.before_train(runner(Data([3, 5], load)))
    with pytest.raises(ValueError, match="'mini_clip', not 'RN50'"):
        hook.before_train(runner(Data([3], load), 'RN50'))
    with pytest.raises(ValueError, match='RandomShift, which moves pixels without'):
        hook.before_train(runner(Data([3], RandomShift(), load)))
    with pytest.raises(ValueError, match=r'no mmclip\.LoadTeacherEmbeddings'):
        hook.before_train(runner(Data([3])))


def test_another_text_tower_of_the_same_name(load):
    load.store.meta['teacher']['text_hash'] = 'f'
    with pytest.raises(ValueError, match="text_hash is 'f'"):
        RegionStoreHook().before_train(runner(Data([3], load)))
