# Prompt tuning on ODinW's Aquarium: everything is frozen, an offset is added to the words (paper figure 7: 62.4
# on average over 13 sets with all data; not measured here).
# Train: python tools/train.py configs/glip/glip_t_swin-t_aquarium_prompt.py --cfg-options load_from=glip_t.pth
_base_ = './glip_t_swin-t_aquarium_full.py'
default_hooks = dict(checkpoint_check=dict(new_modules=['prompt_offset']))
model = dict(tuning='prompt_v2')
optim_wrapper = dict(optimizer=dict(lr=0.05, weight_decay=0.25))
