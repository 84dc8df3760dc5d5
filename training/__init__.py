"""All code that needs torch. It imports only the contract, settings, datasets and errors of pipelines. This package
holds rooms and no loose modules; each room's docstring says what it is for and who may import it."""
