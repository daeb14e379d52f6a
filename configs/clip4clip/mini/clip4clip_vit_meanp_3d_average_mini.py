# On MiniWorld: 3D patches that start as the mean of three frames.
# python tools/train.py configs/clip4clip/mini/clip4clip_vit_meanp_3d_average_mini.py
_base_ = './clip4clip_vit_meanp_mini.py'
default_hooks = dict(checkpoint_check=dict(new_modules=['patch_3d']))
model = dict(linear_patch='3d', patch_init='average')
