# Zero-shot on UCF101: the Kinetics-400 model names actions by UCF101's own words, nothing is trained: ~70 top-1
# (read off the paper's plot; X-CLIP's authors measured less with MeanP). Only the dataset changes.
# python tools/test.py configs/action_clip/action_clip_vit_b16_transf_32f_ucf101_zero_shot.py CHECKPOINT
_base_ = './action_clip_vit_b16_transf_32f_k400.py'
test_dataloader = dict(
    dataset=dict(
        data_root='data/ucf101/',
        ann_file='ucf101_val_split_1_videos.txt',
        data_prefix=dict(video='videos'),
        classes='ucf_labels.csv'))
