"""The front of the project for notebooks and scripts: trained networks, images, noise, measurements and attacks.

It is thin: each function hands over to the rooms of pipelines and training. Nothing of them imports it. The wheel also
carries jobs/ and conf/ in this folder, for the command `roadsign`."""

from roadsign.images import SignImages
from roadsign.measuring import attack, evaluate
from roadsign.network import Network, Prediction, load
from roadsign.noise import corrupt

__all__ = ["Network", "Prediction", "SignImages", "attack", "corrupt", "evaluate", "load"]
