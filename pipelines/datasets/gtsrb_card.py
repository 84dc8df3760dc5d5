"""The cards of GTSRB and of synthetic_signs, which are drawn in its format."""

from pipelines.datasets.card import NOT_STATED, DatasetCard

__all__ = ["CLASS_NAMES", "DRAWN_STAMP", "GTSRB_CARD", "SYNTHETIC_SIGNS_CARD"]

CLASS_NAMES = (
    "Speed limit (20km/h)", "Speed limit (30km/h)", "Speed limit (50km/h)", "Speed limit (60km/h)",
    "Speed limit (70km/h)", "Speed limit (80km/h)", "End of speed limit (80km/h)", "Speed limit (100km/h)",
    "Speed limit (120km/h)", "No passing", "No passing for vehicles over 3.5 metric tons",
    "Right-of-way at the next intersection", "Priority road", "Yield", "Stop", "No vehicles",
    "Vehicles over 3.5 metric tons prohibited", "No entry", "General caution", "Dangerous curve to the left",
    "Dangerous curve to the right", "Double curve", "Bumpy road", "Slippery road", "Road narrows on the right",
    "Road work", "Traffic signals", "Pedestrians", "Children crossing", "Bicycles crossing", "Beware of ice/snow",
    "Wild animals crossing", "End of all speed and passing limits", "Turn right ahead", "Turn left ahead", "Ahead only",
    "Go straight or right", "Go straight or left", "Keep right", "Keep left", "Roundabout mandatory",
    "End of no passing", "End of no passing by vehicles over 3.5 metric tons",
)  # fmt: skip
"""Class names by label (paper, Table 1)."""
DRAWN_STAMP = "synthetic_signs.json"
"""The file that marks a folder of drawn signs."""

_HFLIP = {**{label: label for label in (11, 12, 13, 15, 17, 18, 22, 26, 30, 35)},
          19: 20, 20: 19, 33: 34, 34: 33, 36: 37, 37: 36, 38: 39, 39: 38}  # fmt: skip
"""Labels of the signs mirrored left to right, for those whose mirror image is a sign."""
_VFLIP = {label: label for label in (1, 5, 12, 15, 17)}
"""The same for mirroring top to bottom: the digits 3, 8 and 0 are symmetric, so 30 and 80 stay the same."""

GTSRB_CARD = DatasetCard(
    name="gtsrb",
    class_names=CLASS_NAMES,
    channels=3,
    group="a training track: 30 frames of one physical sign; which test images share a sign is not published",
    unknown_groups=("test",),
    hflip=_HFLIP,
    vflip=_VFLIP,
    expected_classes=43,
    expected_counts={"train": 39_209, "test": 12_630},
    expected_groups=1_307,
    licence=NOT_STATED,
    citation="J. Stallkamp, M. Schlipsing, J. Salmen, C. Igel, Man vs. computer: Benchmarking machine learning "
    "algorithms for traffic sign recognition, Neural Networks 32, 2012",
)
SYNTHETIC_SIGNS_CARD = DatasetCard(
    name="synthetic_signs",
    class_names=CLASS_NAMES,
    channels=3,
    group="a training track: 30 frames of one drawn sign; each test image is a sign of its own",
    hflip=_HFLIP,
    vflip=_VFLIP,
    licence="Apache-2.0, as this program, which draws them",
    citation="none; drawn, not photographed",
)
