# 'CLIP on cropped regions' on MiniWorld: proposals of ViLD-text's RPN, named by the teacher itself.
# Test: python tools/test.py configs/vild/mini/clip_on_crops_r18_mini.py work_dirs/vild_text_r18_mini/iter_900.pth
_base_ = './vild_text_r18_mini.py'
model = dict(type='mmclip.CLIPOnCrops', mode='crops')
