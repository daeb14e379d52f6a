# MiniWorld: captions only, no noun prompts.
#   python tools/train.py configs/group_vit/mini/group_vit_no_prompts_mini.py
_base_ = './group_vit_one_stage_mini.py'
model = dict(decode_head=dict(multi_label=0))
train_dataloader = dict(
    dataset=dict(pipeline=[
        dict(type='mmclip.NounPrompts', num_prompts=0),
        dict(type='mmclip.CLIPRandomCrop', size=64, scale=(1.0, 1.0), ratio=(1.0, 1.0), flip_prob=0.5),
        dict(type='mmclip.ToBGR'),
        dict(type='mmclip.PackCLIPInputs', meta_keys=('texts', 'img_path')),
    ]))
