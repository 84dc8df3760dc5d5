"""How far each image is from a decision boundary (DeepFool), and how well local slopes of the network predict that
distance. Imported by jobs."""
