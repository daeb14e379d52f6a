# ODinW-13: 13 of the 35 sets of odinw35.py; the mean of their COCO APs is mean/bbox_AP.
_base_ = ['./odinw35.py']

chosen = [
    'AerialMaritimeDrone_large', 'Aquarium', 'CottontailRabbits', 'EgoHands_generic',
    'NorthAmericaMushrooms', 'Packages', 'PascalVOC', 'pistols', 'pothole', 'Raccoons',
    'ShellfishOpenImages', 'thermalDogsAndPeople', 'VehiclesOpenImages'
]
places = [list(_base_.sets).index(name) for name in chosen]
val_dataloader = dict(
    dataset=dict(datasets=[_base_.val_dataloader.dataset.datasets[place] for place in places]))
test_dataloader = val_dataloader
val_evaluator = dict(
    names=chosen,
    folders=[_base_.val_evaluator.folders[place] for place in places],
    metrics=[_base_.val_evaluator.metrics[place] for place in places])
test_evaluator = val_evaluator
