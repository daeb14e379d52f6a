# Ablation: one stage, captions only (paper: 36.7 mIoU on VOC).
# bash tools/dist_train.sh configs/group_vit/group_vit_gcc12m_one_stage_no_prompts.py 16
_base_ = './group_vit_gcc12m.py'
model = dict(
    backbone=dict(depths=[6, 6], num_heads=[6, 6], num_group_tokens=[64, 0], num_output_groups=[8]),
    decode_head=dict(multi_label=0))
train_dataloader = dict(
    dataset=dict(pipeline=[
        dict(type='mmclip.NounPrompts', num_prompts=0, context_length=77),
        dict(type='mmclip.TimmAugment', size=224),
        dict(type='mmclip.ToBGR'),
        dict(type='mmclip.PackCLIPInputs', meta_keys=('texts', 'text_ids', 'img_path')),
    ]))
