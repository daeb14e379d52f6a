# Words encoded by CLIP RN50x16 (paper table 6: 82.78 pixAcc, 47.25 mIoU; paper only).
# python tools/train.py configs/lseg/lseg_vit_l16_ade20k_rn50x16_text.py
_base_ = './lseg_vit_l16_ade20k.py'
model = dict(
    decode_head=dict(
        classifier=dict(
            text_encoder=dict(model='RN50x16-quickgelu', pretrained='openai'))))
