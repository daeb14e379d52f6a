# Objects365, GoldG and 4 million web captions with the boxes of a teacher (tools/pseudo_label.py), for GLIP-T.
# The released T checkpoint saw CC3M and SBU instead: name their shards here.
_base_ = ['./glip_objects365_goldg.py']

web_captions = dict(
    type='mmclip.GroundingShards',
    shards='data/cap4m/{00000..00399}.tar',
    labels='data/cap4m_glip_t_c',
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
