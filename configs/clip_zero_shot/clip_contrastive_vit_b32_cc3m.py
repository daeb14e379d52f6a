# CLIP ViT-B/32 from scratch on CC3M-like shards, with the paper's recipe (table 18 and 19: AdamW, weight
# decay 0.2, 2000 steps of warm-up, cosine, 32 epochs) at an eighth of its batch. The paper's 63.2 on
# ImageNet come from 400 M pairs of its own; what CC3M gives is not measured here.
#   bash tools/dist_train.sh configs/clip_zero_shot/clip_contrastive_vit_b32_cc3m.py 8
# Effective batch 8 x 512. Data: tar files with key.jpg and key.txt, as img2dataset writes them; others by
#   --cfg-options train_dataloader.dataset.shards='/data/{000..999}.tar' train_dataloader.dataset.epoch_size=9000000
_base_ = '../_base_/default_runtime.py'

default_scope = 'mmengine'
data_help = {'data/cc3m': 'img2dataset writes such shards (key.jpg, key.txt) from a list of addresses and captions'}

model = dict(
    type='mmclip.CLIPContrastive',
    model='ViT-B-32-quickgelu',
    loss=dict(type='mmclip.ContrastiveLoss'),
)

train_dataloader = dict(
    batch_size=512,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='mmclip.ShardSampler'),
    dataset=dict(
        type='mmclip.CaptionShards',
        shards='data/cc3m/{00000..00331}.tar',
        epoch_size=2900000,
        shuffle=5000,
        pipeline=[
            dict(type='mmclip.CLIPRandomCrop', size=224),
            dict(type='mmclip.PackCLIPInputs', meta_keys=('text', 'img_path')),
        ],
    ),
)

epochs = 32
train_cfg = dict(type='mmengine.EpochBasedTrainLoop', max_epochs=epochs)
optim_wrapper = dict(
    type='mmengine.AmpOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(type='AdamW', lr=5e-4, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.2),
    # No decay on gains, biases and the scale of the logits.
    paramwise_cfg=dict(flat_decay_mult=0.0, custom_keys=dict(logit_scale=dict(decay_mult=0.0))),
)
warm_up = 2000  # iterations
param_scheduler = [
    dict(type='mmengine.LinearLR', start_factor=1e-3, by_epoch=False, end=warm_up),
    dict(type='mmengine.CosineAnnealingLR', by_epoch=True, T_max=epochs, end=epochs, convert_to_iter_based=True),
]
# The learning rate is the paper's for a batch of 32768; CLIP's do not follow the linear rule.
default_hooks = dict(checkpoint=dict(by_epoch=True, interval=1))
log_processor = dict(by_epoch=True)
