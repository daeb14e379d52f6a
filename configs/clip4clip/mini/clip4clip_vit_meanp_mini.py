# On MiniWorld with a small ViT, which needs its start: clip4clip_start_vit_mini.py.
# python tools/train.py configs/clip4clip/mini/clip4clip_vit_meanp_mini.py
_base_ = './clip4clip_meanp_mini.py'
load_from = 'work_dirs/clip4clip_start_vit_mini/iter_1000.pth'
model = dict(
    pretrained=None,
    model=dict(
        _delete_=True,
        embed_dim=128,
        quick_gelu=True,
        vision_cfg=dict(image_size=48, patch_size=8, width=128, layers=3, head_width=64),
        text_cfg=dict(context_length=77, vocab_size=49408, width=64, heads=2, layers=1)))
