"""What a classifier minimizes, and measures of how sure it is. Imported by classifiers, attacks and gans; imports no
room that trains."""
