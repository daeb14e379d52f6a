# On MiniWorld: an LSTM over the frames.
# python tools/train.py configs/clip4clip/mini/clip4clip_seqlstm_mini.py
_base_ = './clip4clip_meanp_mini.py'
model = dict(sim_head=dict(type='mmclip.SeqLSTMHead'))
