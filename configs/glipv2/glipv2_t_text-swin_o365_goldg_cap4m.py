# GLIPv2-T with words in the last stage of Swin (SWINT.VERSION 'vl' of the official code, in no released
# configuration) and the loss across images on the map before it.
# Train: bash tools/dist_train.sh configs/glipv2/glipv2_t_text-swin_o365_goldg_cap4m.py 32
# Weights of Swin-T: convert a GLIP-T (tools/convert_checkpoint.py glipv2) and set load_from; what reads words starts fresh.
_base_ = './glipv2_t_swin-t_o365_goldg_cap4m.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmclip.TextSwin',
        text_dim=768,
        max_tokens=256,
        embed_dims=96,
        depths=(2, 2, 6, 2),
        num_heads=(3, 6, 12, 24),
        window_size=7,
        drop_path_rate=0.2,
        out_indices=(1, 2, 3)),
    fusion=dict(type='mmclip.TextConditionedNeck'),
    inter_image_loss=dict(source='c4', region_dim=384))
# What reads words is new when the run starts from a GLIP-T.
default_hooks = dict(
    checkpoint_check=dict(
        new_modules=[
            f'backbone.stages.3.blocks.{block}.{part}' for block in range(2) for part in (
                'norm1_text', 'norm2_text', 'ffn_text', 'attn.w_msa.qkv_text', 'attn.w_msa.proj_text',
                'attn.w_msa.image_text_bias', 'attn.w_msa.text_text_bias')
        ]))
