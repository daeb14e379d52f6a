# GLIPv2 on MiniWorld, loss across images in which all words of other images are wrong.
# Train: python tools/train.py configs/glipv2/mini/glipv2_mini_no_propagation.py
_base_ = './glipv2_mini.py'

model = dict(inter_image_loss=dict(propagate=False), mask_tokens=None, mlm_head=None)
