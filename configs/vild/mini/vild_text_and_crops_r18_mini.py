# 'ViLD-text + CLIP' on MiniWorld: ViLD-text's head and the teacher on crops, as an ensemble.
# Test: python tools/test.py configs/vild/mini/vild_text_and_crops_r18_mini.py \
#         work_dirs/vild_text_r18_mini/iter_900.pth
_base_ = './vild_text_r18_mini.py'
model = dict(type='mmclip.CLIPOnCrops', mode='text_and_crops')
