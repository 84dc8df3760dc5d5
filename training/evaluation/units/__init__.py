"""How evenly the units of a network carry its load: dead units, the entropy of activation, and the accuracy without the
units that carry most of it (the proposal's "homogeneous responsibilities of each neuron")."""
