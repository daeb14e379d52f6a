# PointCLIP V2's projection, scaled down: voxels of 56, pooled over 3; 10 views of equal weight.
#   python tools/test.py configs/point_clip/mini/point_clip_v2_zero_shot_mini.py
_base_ = './point_clip_zero_shot_mini.py'

model = dict(
    projector=dict(
        _delete_=True,
        type='mmclip.RealisticDepthProjector',
        views='realistic10',
        resolution=56,
        pool=3,
        pool_padding=1,
        scale=0.6,
        image_size=48,
        mean=(0.48145466, 0.4578275, 0.40821073),
        std=(0.26862954, 0.26130258, 0.27577711)))
