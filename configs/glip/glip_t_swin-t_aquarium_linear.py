# Linear probing on ODinW's Aquarium: box, centerness and alignment (paper figure 7: 55.1 on average over 13 sets
# with all data; not measured here).
# Train: python tools/train.py configs/glip/glip_t_swin-t_aquarium_linear.py --cfg-options load_from=glip_t.pth
_base_ = './glip_t_swin-t_aquarium_full.py'
model = dict(tuning='linear')
