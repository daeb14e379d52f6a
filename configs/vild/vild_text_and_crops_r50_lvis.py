# ViLD-text and CLIP on crops as the two branches of an ensemble (paper, table 3, from memory: AP_r 22.6).
# Test: tools/dist_test.sh configs/vild/vild_text_and_crops_r50_lvis.py CHECKPOINT_OF_vild_text_faster_r50_lvis 8
_base_ = './vild_text_faster_r50_lvis.py'
model = dict(type='mmclip.CLIPOnCrops', mode='text_and_crops')
