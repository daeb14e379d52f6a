# 4 clips per class of HMDB51, drawn by a seed (`python tools/dataset_converters/few_shot_list.py
# data/hmdb51/hmdb51_train_split_1_videos.txt --shots 4`), from the Kinetics-400 checkpoint. The paper shows a
# plot only.
# python tools/train.py configs/action_clip/action_clip_vit_b16_transf_32f_hmdb51_4_shot.py
_base_ = './action_clip_vit_b16_transf_32f_hmdb51.py'
train_dataloader = dict(dataset=dict(ann_file='hmdb51_train_split_1_videos_4_shot_seed0.txt'))
