# GLIPv2 on MiniWorld with the losses within an image only (and masks).
# Train: python tools/train.py configs/glipv2/mini/glipv2_mini_intra.py
_base_ = './glipv2_mini.py'

model = dict(inter_image_loss=None, mask_tokens=None, mlm_head=None)
