# Prompt tuning on ODinW's Aquarium, first version: the text tower is trained, all else is frozen. The official code
# has it, no result is published; rates are those of full tuning.
# Train: python tools/train.py configs/glip/glip_t_swin-t_aquarium_prompt_v1.py --cfg-options load_from=glip_t.pth
_base_ = './glip_t_swin-t_aquarium_full.py'
model = dict(tuning='prompt_v1')
