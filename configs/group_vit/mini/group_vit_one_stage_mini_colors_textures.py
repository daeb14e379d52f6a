# The same model asked for 32 colors with a texture ('striped red') and the background (a constant answer gives about 2.5).
#   python tools/test.py configs/group_vit/mini/group_vit_one_stage_mini_colors_textures.py CHECKPOINT
_base_ = './group_vit_one_stage_mini.py'
root = 'data/mini_world/scene_captions/'
val_dataloader = dict(dataset=dict(classes=root + 'colors_textures.txt', data_prefix=dict(seg_map_path='colors_textures/val')))
test_dataloader = dict(dataset=dict(classes=root + 'colors_textures.txt', data_prefix=dict(seg_map_path='colors_textures/test')))
model = dict(test_cfg=dict(bg_thresh=0.1))
