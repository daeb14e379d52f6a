# On MiniWorld: two transformer blocks over the frames.
# python tools/train.py configs/clip4clip/mini/clip4clip_seqtransf_mini.py
_base_ = './clip4clip_meanp_mini.py'
model = dict(sim_head=dict(type='mmclip.SeqTransfHead', layers=2))
