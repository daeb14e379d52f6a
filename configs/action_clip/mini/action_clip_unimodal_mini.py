# On MiniWorld: the unimodal baseline, which can name base actions only (novel: 0 by construction).
# python tools/train.py configs/action_clip/mini/action_clip_unimodal_mini.py
_base_ = './action_clip_transf_mini.py'
model = dict(
    _delete_=True,
    type='mmclip.UnimodalActionRecognizer',
    model='mini_clip',
    pretrained='mini_clip',
    num_frames=8,
    classes=96,
    post_prompt=dict(type='mmclip.ActionTransf', layers=2))
