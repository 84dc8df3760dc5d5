"""Everything that needs torch. Of pipelines it imports the contract, settings, datasets and errors and nothing else.
Nothing lies flat in here: each room's docstring says what it is for and who may import it."""
