"""Intervals and paired tests for images that come in groups: the group, a physical sign say, is the observation.

clusters: variances of ratios over groups; proportions: accuracy, recall and the like with their design effects; paired:
two networks on the same images; seeds: one recipe over several seeds. Pure functions of arrays."""
