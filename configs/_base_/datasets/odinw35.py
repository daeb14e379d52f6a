# ODinW-35: 35 small detection sets, each with its own names as the caption; the mean of their COCO APs is
# mean/bbox_AP. Names come from the annotation files; `prompts` puts other words in their place or around
# them, as the official configs do.
_base_ = ['./glip_pipelines.py']

valid = 'valid/annotations_without_background.json'
export = 'val_annotations_without_background.json'
# Name: folder below data/odinw, annotation file, folder of the images.
sets = dict(
    AerialMaritimeDrone_large=('AerialMaritimeDrone/large', valid, 'valid'),
    AerialMaritimeDrone_tiled=('AerialMaritimeDrone/tiled', valid, 'valid'),
    AmericanSignLanguageLetters=(
        'AmericanSignLanguageLetters/American Sign Language Letters.v1-v1.coco', valid, 'valid'),
    Aquarium=('Aquarium/Aquarium Combined.v2-raw-1024.coco', valid, 'valid'),
    BCCD=('BCCD/BCCD.v3-raw.coco', valid, 'valid'),
    boggleBoards=('boggleBoards/416x416AutoOrient/export', export, ''),
    brackishUnderwater=('brackishUnderwater/960x540', valid, 'valid'),
    ChessPieces=('ChessPieces/Chess Pieces.v23-raw.coco', valid, 'valid'),
    CottontailRabbits=('CottontailRabbits', valid, 'valid'),
    dice=('dice/mediumColor/export', export, ''),
    DroneControl=('DroneControl/Drone Control.v3-raw.coco', valid, 'valid'),
    EgoHands_generic=('EgoHands/generic', valid, 'valid'),
    EgoHands_specific=('EgoHands/specific', valid, 'valid'),
    HardHatWorkers=('HardHatWorkers/raw', valid, 'valid'),
    MaskWearing=('MaskWearing/raw', valid, 'valid'),
    MountainDewCommercial=('MountainDewCommercial', valid, 'valid'),
    NorthAmericaMushrooms=(
        'NorthAmericaMushrooms/North American Mushrooms.v1-416x416.coco', valid, 'valid'),
    openPoetryVision=('openPoetryVision/512x512', valid, 'valid'),
    OxfordPets_by_breed=('OxfordPets/by-breed', valid, 'valid'),
    OxfordPets_by_species=('OxfordPets/by-species', valid, 'valid'),
    PKLot=('PKLot/640', valid, 'valid'),
    Packages=('Packages/Raw', valid, 'valid'),
    PascalVOC=('PascalVOC', valid, 'valid'),
    pistols=('pistols/export', export, ''),
    plantdoc=('plantdoc/416x416', valid, 'valid'),
    pothole=('pothole', valid, 'valid'),
    Raccoons=('Raccoon/Raccoon.v2-raw.coco', valid, 'valid'),
    selfdrivingCar=('selfdrivingCar/fixedLarge/export', export, ''),
    ShellfishOpenImages=('ShellfishOpenImages/raw', valid, 'valid'),
    ThermalCheetah=('ThermalCheetah', valid, 'valid'),
    thermalDogsAndPeople=('thermalDogsAndPeople', valid, 'valid'),
    UnoCards=('UnoCards/raw', valid, 'valid'),
    VehiclesOpenImages=('VehiclesOpenImages/416x416', valid, 'valid'),
    WildfireSmoke=('WildfireSmoke', valid, 'valid'),
    websiteScreenshots=('websiteScreenshots', valid, 'valid'))
prompts = dict(
    Aquarium={
        'penguin': dict(suffix=', which is black and white'),
        'puffin': dict(suffix=' with orange beaks'),
        'stingray': dict(suffix=' which is flat and round')
    },
    ChessPieces={
        f'{color}-{piece}': dict(name=f'{color} {piece}')
        for color in ('black', 'white')
        for piece in ('bishop', 'king', 'knight', 'pawn', 'queen', 'rook')
    },
    CottontailRabbits={'Cottontail-Rabbit': dict(name='rabbit')},
    EgoHands_generic={'hand': dict(suffix=' of a person')},
    NorthAmericaMushrooms={
        'CoW': dict(name='flat mushroom'),
        'chanterelle': dict(name='yellow mushroom')
    },
    Packages={'package': dict(prefix='there is a ', suffix=' on the porch')},
    pothole={'pothole': dict(prefix='there are some ', name='holes', suffix=' on the road')})
odinw_pipeline = [
    {{_base_.load}},
    {{_base_.test_resize}},
    dict(
        type='mmclip.DetToGrounding',
        tokenizer={{_base_.tokenizer}},
        all_classes=True,
        overflow='cut'),
    {{_base_.pack}},
]
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmdet.ConcatDataset',
        datasets=[
            dict(
                type='mmclip.OpenVocabLVISDataset',
                data_root=f'data/odinw/{folder}/',
                ann_file=ann_file,
                data_prefix=dict(img=f'{images}/' if images else ''),
                load_masks=False,
                return_classes=True,
                caption_prompt=prompts.get(name),
                test_mode=True,
                pipeline=odinw_pipeline) for name, (folder, ann_file, images) in sets.items()
        ]))
test_dataloader = val_dataloader
val_evaluator = dict(
    type='mmclip.MultiDatasetEvaluator',
    names=list(sets),
    folders=[f'data/odinw/{folder}' for folder, _, _ in sets.values()],
    metrics=[
        dict(
            type='mmclip.OpenVocabLVISMetric',
            ann_file=f'data/odinw/{folder}/{ann_file}',
            max_dets=100) for folder, ann_file, _ in sets.values()
    ])
test_evaluator = val_evaluator
