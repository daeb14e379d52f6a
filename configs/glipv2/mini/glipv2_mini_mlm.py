# GLIPv2 on MiniWorld with masked words, without the loss across images.
# Train: python tools/train.py configs/glipv2/mini/glipv2_mini_mlm.py
_base_ = './glipv2_mini.py'

model = dict(inter_image_loss=None)
