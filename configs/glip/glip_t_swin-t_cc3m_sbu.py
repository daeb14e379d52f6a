# GLIP-T as released: web captions are CC3M's and SBU's. Zero-shot COCO 46.6, LVIS minival 25.9 AP, ODinW-13 42.7
# (official README; not measured here).
# Labels: python tools/pseudo_label.py configs/glip/glip_c_swin-t_o365_goldg.py CHECKPOINT --shards 'data/cc3m_sbu/{00000..00399}.tar' --out data/cc3m_sbu_glip_t_c
# Train:  bash tools/dist_train.sh configs/glip/glip_t_swin-t_cc3m_sbu.py 32
# Convert: python tools/convert_checkpoint.py glip glip_tiny_model_o365_goldg_cc_sbu.pth glip_t.pth
# Test:    python tools/test.py configs/glip/glip_t_swin-t_cc3m_sbu.py glip_t.pth
_base_ = './glip_t_swin-t_cap4m.py'

web_captions = dict(
    type='mmclip.GroundingShards',
    shards='data/cc3m_sbu/{00000..00399}.tar',
    labels='data/cc3m_sbu_glip_t_c',
    epoch_size=4_000_000,
    pipeline={{_base_.shards_pipeline}})
train_dataloader = dict(
    dataset=dict(
        datasets=[
            {{_base_.objects365}},
            {{_base_.flickr30k}},
            {{_base_.mixed}},
            web_captions,
        ]))
