# On MiniWorld: two transformer blocks over each pair of a sentence and a clip.
# python tools/train.py configs/clip4clip/mini/clip4clip_tighttransf_mini.py
_base_ = './clip4clip_meanp_mini.py'
model = dict(sim_head=dict(type='mmclip.TightTransfHead', layers=2))
