# GLIPv2 on MiniWorld with the loss across images, without masked words.
# Train: python tools/train.py configs/glipv2/mini/glipv2_mini_inter.py
_base_ = './glipv2_mini.py'

model = dict(mask_tokens=None, mlm_head=None)
