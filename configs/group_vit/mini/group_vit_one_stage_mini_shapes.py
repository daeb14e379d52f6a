# The same model asked for 12 shapes and the background (a constant answer gives about 6.5).
#   python tools/test.py configs/group_vit/mini/group_vit_one_stage_mini_shapes.py CHECKPOINT
_base_ = './group_vit_one_stage_mini.py'
root = 'data/mini_world/scene_captions/'
val_dataloader = dict(dataset=dict(classes=root + 'shapes.txt', data_prefix=dict(seg_map_path='shapes/val')))
test_dataloader = dict(dataset=dict(classes=root + 'shapes.txt', data_prefix=dict(seg_map_path='shapes/test')))
