"""The download address and archives of GTSRB."""

from pipelines.datasets.published import Archive, Published

__all__ = ["GTSRB_PUBLISHED"]

_FOLDER = "GTSRB/"
"""The prefix of every member name in the two image archives."""

GTSRB_PUBLISHED = Published(
    "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/",
    (
        Archive(
            "GTSRB_Final_Training_Images.zip", "f33fd80ac59bff73c82d25ab499e03a3", 276_294_756,
            packed=True, strip_prefix=_FOLDER,
        ),
        Archive(
            "GTSRB_Final_Test_Images.zip", "c7e4e6327067d32654124b0fe9e82185", 88_978_620,
            packed=True, strip_prefix=_FOLDER,
        ),
        Archive(
            "GTSRB_Final_Test_GT.zip", "fe31e9c9270bbcd7b84b7f21a9d9d9e5", 99_620,
            folder="Final_Test/Images", packed=True,
        ),
    ),
)  # fmt: skip
"""The benchmark: 39,209 training and 12,630 test images, and the classes of the latter.

The host, the test archives and their MD5s are the same as in torchvision.datasets.GTSRB. Its training archive is not
used: GTSRB-Training_fixed.zip contains only the 26,640 images of the 2011 online competition.
"""
