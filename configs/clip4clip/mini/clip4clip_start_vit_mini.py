# The start of the ViT leaves on MiniWorld: a small CLIP with a ViT (3D patches need one), trained as the mini CLIP.
# python tools/train.py configs/clip4clip/mini/clip4clip_start_vit_mini.py
_base_ = '../../clip_zero_shot/mini/clip_contrastive_mini.py'
model = dict(
    model=dict(
        _delete_=True,
        embed_dim=128,
        quick_gelu=True,
        vision_cfg=dict(image_size=48, patch_size=8, width=128, layers=3, head_width=64),
        text_cfg=dict(context_length=77, vocab_size=49408, width=64, heads=2, layers=1)))
