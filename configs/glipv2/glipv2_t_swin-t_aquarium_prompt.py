# GLIPv2-T on ODinW's Aquarium, prompt tuning: only offsets to the words' features are learnt.
# Train: python tools/train.py configs/glipv2/glipv2_t_swin-t_aquarium_prompt.py --cfg-options load_from=glipv2_t.pth
_base_ = '../glip/glip_t_swin-t_aquarium_prompt.py'

model = dict(type='mmclip.GLIPv2Detector', bbox_head=dict(type='mmclip.GLIPv2Head'))
