# ViLD on MiniWorld (row 'ViLD' of the paper's table 3, at toy size): words and the teacher's regions in
# one embedding, w = 0.5.
# Once: python tools/train.py configs/vild/mini/vild_text_r18_mini.py     # its RPN makes the proposals
#       python tools/precompute_regions.py --ann data/mini_world/detection/annotations/lvis_train.json \
#         --images data/mini_world/detection --out data/regions/mini_world --max-regions 12 \
#         --config configs/vild/mini/vild_text_r18_mini.py --output rpn \
#         --checkpoint work_dirs/vild_text_r18_mini/iter_900.pth --model mini_clip --pretrained mini_clip
# Train: python tools/train.py configs/vild/mini/vild_r18_mini.py
# Effective batch 8.
_base_ = './vild_text_r18_mini.py'
custom_hooks = [dict(type='mmclip.VocabularyHook'), dict(type='mmclip.RegionStoreHook')]
model = dict(
    roi_head=dict(
        type='mmclip.ViLDRoIHead',
        loss_distill=dict(type='mmclip.L1DistillLoss', loss_weight=0.5)))
train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(
        type='mmclip.LoadTeacherEmbeddings',
        store='data/regions/mini_world',
        max_regions=12,
        model='mini_clip'),
    dict(type='mmclip.PackTeacherRegions'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
