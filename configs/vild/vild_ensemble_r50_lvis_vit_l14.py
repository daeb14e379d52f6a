# A larger teacher and text tower, CLIP ViT-L/14, with w = 1 (paper, table 4, from memory). Its own region
# store and vocabulary: the commands of vild_r50_lvis.py with --model ViT-L-14-quickgelu.
# Train: tools/dist_train.sh configs/vild/vild_ensemble_r50_lvis_vit_l14.py 8 --auto-scale-lr
# Effective batch 256.
_base_ = './vild_ensemble_r50_lvis.py'
teacher = 'ViT-L-14-quickgelu'
model = dict(
    roi_head=dict(
        bbox_head=dict(
            classifier=dict(
                text_encoder=dict(model=teacher))),
        loss_distill=dict(loss_weight=1.0)))
train_pipeline = [
    *_base_.train_pipeline[:-2],
    dict(
        type='mmclip.LoadTeacherEmbeddings',
        store='data/regions/lvis_v1_ViT-L-14',
        max_regions=300,
        model=teacher),
    dict(type='mmclip.PackTeacherRegions'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
