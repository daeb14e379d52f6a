# GLIPv2-T fine-tuned on one of ODinW's sets, Aquarium. ODinW-13 mean AP 66.5 with all data (paper; not measured
# here). Another set, and few shots: see the same leaf of GLIP.
# Train: python tools/train.py configs/glipv2/glipv2_t_swin-t_aquarium_full.py --cfg-options load_from=glipv2_t.pth
_base_ = '../glip/glip_t_swin-t_aquarium_full.py'

model = dict(type='mmclip.GLIPv2Detector', bbox_head=dict(type='mmclip.GLIPv2Head'))
