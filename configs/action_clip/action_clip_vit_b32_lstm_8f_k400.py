# Post-network visual prompt LSTM: close to MeanP (paper). Effective batch 128 (4 x 32).
# python tools/train.py configs/action_clip/action_clip_vit_b32_lstm_8f_k400.py
_base_ = './action_clip_vit_b32_transf_8f_k400.py'
model = dict(post_prompt=dict(_delete_=True, type='mmclip.ActionLSTM'))
