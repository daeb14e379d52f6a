# 8 clips per class of UCF101, drawn by a seed (`python tools/dataset_converters/few_shot_list.py
# data/ucf101/ucf101_train_split_1_videos.txt --shots 8`), from the Kinetics-400 checkpoint. The paper shows a
# plot only.
# python tools/train.py configs/action_clip/action_clip_vit_b16_transf_32f_ucf101_8_shot.py
_base_ = './action_clip_vit_b16_transf_32f_ucf101.py'
train_dataloader = dict(dataset=dict(ann_file='ucf101_train_split_1_videos_8_shot_seed0.txt'))
