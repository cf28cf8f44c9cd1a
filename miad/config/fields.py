"""Types that several settings share, with their ranges."""

from typing import Annotated, Literal

from pydantic import Field

Natural = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
NotNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Energy = Annotated[float, Field(ge=-1, le=2)]  # eV/atom above the hull
Text = Annotated[str, Field(min_length=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")]
Checksum = Annotated[str, Field(pattern=r"^(sha256|md5|git):[0-9a-fA-F]+$")]
Split = Literal["train", "val", "test"]
File = Annotated[str, Field(pattern=r"^(train|val|test|references)$")]
Frame = Literal["mp2020", "uncorrected"]
Precision = Annotated[
    Literal["float32", "tf32", "bf16"], Field(description="Precision of the network; tf32 is float32 on a CPU.")
]
Cutoffs = Literal["mp_20", "perov_5", "carbon_24"]
Device = Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N.")]
Workers = Annotated[Count | None, Field(description="Processes; null: one per core.")]
Fmax = Annotated[float, Field(gt=0, le=10, description="eV/Å; limit of forces and cell gradient.")]
MaxSteps = Annotated[Natural, Field(description="Optimizer steps per crystal.")]
Memory = Annotated[float, Field(ge=1, description="GB that a worker process on a CPU may take.")]
