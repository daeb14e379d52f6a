# GLIPv2-T: GLIP-T with the loss across images and masked words. Zero-shot LVIS minival 29.0 AP, ODinW-13 48.5
# (paper; not measured here: no weights were released).
# Convert: python tools/convert_checkpoint.py glipv2 glip_tiny_model_o365_goldg_cc_sbu.pth glip_t.pth
# Train:   bash tools/dist_train.sh configs/glipv2/glipv2_t_swin-t_o365_goldg_cap4m.py 32
# Effective batch 64. Data as GLIP-T; from its weights add --cfg-options load_from=glip_t.pth
_base_ = '../glip/glip_t_swin-t_cap4m.py'

model = dict(
    type='mmclip.GLIPv2Detector',
    bbox_head=dict(type='mmclip.GLIPv2Head'),
    inter_image_loss=dict(
        type='mmclip.InterImageRegionWordLoss', source='fpn', text='pre_fusion', hidden=64),
    mask_tokens=dict(type='mmclip.MaskTokens', ratio=0.15),
    mlm_head=dict(type='mmclip.MLMHead', loss_weight=1.0))
