# ViLD with ResNet-50 on LVIS v1 (paper, table 3, row 'ViLD'; w = 0.5): mask AP_r 16.1, AP 22.5.
# Train: tools/dist_train.sh configs/vild/vild_r50_lvis.py 8 --auto-scale-lr
# Test:  tools/dist_test.sh configs/vild/vild_r50_lvis.py CHECKPOINT 8
# Effective batch 256 (32 GPUs of 8). Figures are the paper's; we have not trained it at full size.
# Class embeddings, once (needs CLIP's weights, no images):
#   python tools/build_vocabulary.py --vocabulary lvis_v1 --model ViT-B-32-quickgelu \
#     --pretrained openai --prompts vild_63 --out data/vocabularies/lvis_v1_ViT-B-32-quickgelu.safetensors
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/vild_r50.py',
    '../_base_/datasets/lvis_instance.py',
    '../_base_/schedules/vild_180k.py',
]
default_scope = 'mmdet'
visualizer = dict(
    type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
custom_hooks = [dict(type='mmclip.VocabularyHook')]
sync_bn = 'torch'
