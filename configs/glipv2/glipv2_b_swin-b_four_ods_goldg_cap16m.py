# GLIPv2-B: Swin-B and a text tower of CLIP's form that looks both ways, FourODs, GoldG and 16 million web
# captions. COCO test-dev 58.8 (fine-tuned), ODinW-13 69.4 (fine-tuned) (paper; not measured here).
# Window, number of blocks and width of the text tower are not in the paper's text: GLIP-L's and CLIP's.
# Train: bash tools/dist_train.sh configs/glipv2/glipv2_b_swin-b_four_ods_goldg_cap16m.py 64
# Effective batch 64.
_base_ = [
    '../_base_/mmdet_runtime.py',
    '../_base_/models/glip_swin_l.py',
    '../_base_/datasets/glipv2_four_ods_goldg_cap16m.py',
    '../_base_/schedules/glip.py',
]
default_scope = 'mmdet'
visualizer = dict(
    type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')

model = dict(
    type='mmclip.GLIPv2Detector',
    backbone=dict(
        embed_dims=128,
        num_heads=[4, 8, 16, 32],
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v1.0.0/'
            'swin_base_patch4_window12_384_22k.pth')),
    neck=dict(in_channels=[256, 512, 1024]),
    text_encoder=dict(
        _delete_=True,
        type='mmclip.CLIPTokenEncoder',
        model='ViT-B-32-quickgelu',
        pretrained='openai',
        max_tokens=256),
    fusion=dict(text_layer=dict(_delete_=True, kind='clip', num_heads=8)),
    bbox_head=dict(type='mmclip.GLIPv2Head'),
    inter_image_loss=dict(type='mmclip.InterImageRegionWordLoss'),
    mask_tokens=dict(type='mmclip.MaskTokens'),
    mlm_head=dict(type='mmclip.MLMHead'))

train_cfg = dict(max_iters=1_000_000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=2001),
    dict(type='MultiStepLR', by_epoch=False, milestones=[670_000, 890_000], gamma=0.1),
]
