# 'CLIP on cropped regions' on LVIS v1 (paper, table 3, from memory: AP_r 18.9; mask AP there, box AP here):
# proposals of ViLD-text, each named by the teacher itself. About 600 times slower than a detector.
# Test: tools/dist_test.sh configs/vild/clip_on_crops_r50_lvis.py CHECKPOINT_OF_vild_text_faster_r50_lvis 8
_base_ = './vild_text_faster_r50_lvis.py'
model = dict(type='mmclip.CLIPOnCrops', mode='crops')
