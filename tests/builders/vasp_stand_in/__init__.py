"""A stand-in for VASP, for tests only: it reads VASP's inputs and writes VASP's outputs, but the energies are CHGNet's.

Nothing that comes out of it is DFT, and everything says so: the version in vasprun.xml and OUTCAR, the comment of the
pseudopotentials, and, because of these, the rows of the table. What runs above is real: custodian, atomate2, jobflow.
"""
