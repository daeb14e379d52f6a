# ViT-B/16: better everywhere (official README; later papers quote 45 to 46 R@1).
# python tools/train.py configs/clip4clip/clip4clip_vit_b16_meanp_msrvtt_9k.py
_base_ = './clip4clip_vit_b32_meanp_msrvtt_9k.py'
model = dict(model='ViT-B-16-quickgelu')
