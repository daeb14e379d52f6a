# OpenAI's CLIP itself on Kinetics-400, nothing trained (so MeanP: another head would be random). No figure
# known.
# python tools/test.py configs/action_clip/action_clip_vit_b16_meanp_8f_k400_zero_shot_clip.py
_base_ = './action_clip_vit_b16_transf_8f_k400.py'
model = dict(post_prompt=dict(_delete_=True, type='mmclip.ActionMeanP'))
needs_checkpoint = False  # `pretrained` is all there is
