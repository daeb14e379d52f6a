# Text tower: BERT-base by transformers (hub name or local folder), projected to 512. No figure known. Effective
# batch 128 (4 x 32).
# python tools/train.py configs/action_clip/action_clip_vit_b32_transf_8f_k400_bert_text.py
_base_ = './action_clip_vit_b32_transf_8f_k400.py'
model = dict(text_tower=dict(name='bert-base-uncased', config=dict(model_type='bert')))
