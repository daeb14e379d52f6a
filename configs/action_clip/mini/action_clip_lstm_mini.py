# On MiniWorld: the post-network prompt LSTM.
# python tools/train.py configs/action_clip/mini/action_clip_lstm_mini.py
_base_ = './action_clip_transf_mini.py'
model = dict(post_prompt=dict(_delete_=True, type='mmclip.ActionLSTM'))
