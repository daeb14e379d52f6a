# MiniWorld detection, grounding and pseudo-labeled pairs, whose captions name base and novel things:
#   python tools/pseudo_label.py TEACHER_CONFIG TEACHER_CHECKPOINT \
#       --shards 'data/mini_world/grounding/pairs-{00000..00007}.tar' --out data/mini_world_pseudo \
#       --phrases mini_world
_base_ = ['./mini_world_glip_grounding.py']

pairs = dict(
    type='mmclip.GroundingShards',
    shards='data/mini_world/grounding/pairs-{00000..00007}.tar',
    labels='data/mini_world_pseudo',
    epoch_size=1600,
    shuffle=100,
    pipeline=[
        dict(type='mmdet.LoadAnnotations', with_bbox=True),
        dict(type='mmdet.Resize', scale=(128, 128), keep_ratio=True),
        dict(type='mmdet.RandomFlip', prob=0.5),
        *_base_.caption_texts,
    ])
train_dataloader = dict(
    dataset=dict(
        datasets=[
            {{_base_.detection}},
            {{_base_.captions}},
            {{_base_.referring}},
            pairs,
        ]))
