# Zero-shot on HMDB51: the Kinetics-400 model names actions by HMDB51's own words, nothing is trained: ~50 top-1
# (read off the paper's plot; X-CLIP's authors measured less with MeanP). Only the dataset changes.
# python tools/test.py configs/action_clip/action_clip_vit_b16_transf_32f_hmdb51_zero_shot.py CHECKPOINT
_base_ = './action_clip_vit_b16_transf_32f_k400.py'
test_dataloader = dict(
    dataset=dict(
        data_root='data/hmdb51/',
        ann_file='hmdb51_val_split_1_videos.txt',
        data_prefix=dict(video='videos'),
        classes='hmdb51_labels.csv'))
