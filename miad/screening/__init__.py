"""StructureMatcher's verdicts on crowds of crystals, compiled."""

NO, OPEN, YES = 0, 1, 2  # in the order in which they outweigh each other
