# GLIPv2-T's loss across images as the official code computes it: fused words, without the first box of each
# image, gradients of a process's own features only, labels by number.
# Train: bash tools/dist_train.sh configs/glipv2/glipv2_t_swin-t_o365_goldg_cap4m_official.py 32
_base_ = './glipv2_t_swin-t_o365_goldg_cap4m.py'

model = dict(
    inter_image_loss=dict(text='fused', gather='local', by_name=False, compat=True),
    mask_tokens=dict(compat=True))
