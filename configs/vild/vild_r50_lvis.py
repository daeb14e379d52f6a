# ViLD with ResNet-50 on LVIS v1 (paper, table 3, row 'ViLD'; w = 0.5): mask AP_r 16.1, AP 22.5.
# Figures are the paper's; we have not trained it at full size.
# Once, before training (docs/en/methods/vild.md says what each is and how large):
#   python tools/build_vocabulary.py --vocabulary lvis_v1 --model ViT-B-32-quickgelu \
#     --pretrained openai --prompts vild_63 --out data/vocabularies/lvis_v1_ViT-B-32-quickgelu.safetensors
#   python tools/precompute_regions.py --help   # the teacher's regions, to data/regions/lvis_v1_ViT-B-32
# Train: tools/dist_train.sh configs/vild/vild_r50_lvis.py 8 --auto-scale-lr
# Test:  tools/dist_test.sh configs/vild/vild_r50_lvis.py CHECKPOINT 8
# Effective batch 256 (32 GPUs of 8).
_base_ = [
    '../_base_/mmdet_runtime.py',
    '../_base_/models/vild_r50.py',
    '../_base_/datasets/lvis_instance.py',
    '../_base_/schedules/vild_180k.py',
]
default_scope = 'mmdet'
visualizer = dict(
    type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
custom_hooks = [dict(type='mmclip.VocabularyHook'), dict(type='mmclip.RegionStoreHook')]
sync_bn = 'torch'

model = dict(
    roi_head=dict(
        type='mmclip.ViLDRoIHead',
        loss_distill=dict(type='mmclip.L1DistillLoss', loss_weight=0.5)))
train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(
        type='mmclip.LoadTeacherEmbeddings',
        store='data/regions/lvis_v1_ViT-B-32',
        max_regions=300,
        model='ViT-B-32-quickgelu'),
    dict(type='mmclip.PackTeacherRegions'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
