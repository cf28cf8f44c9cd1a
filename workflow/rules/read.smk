rule read:
    input:
        source=source("crystals"),
        generated=source("generated"),
        hull=of("hull", "hull"),
    output:
        crystals=at("sample", "crystals"),
        given=at("sample", "given"),
        trajectories=at("sample", "trajectories"),
    log:
        "results/{run}/sample/{shard}.log",
    wildcard_constraints:
        run="|".join(READ) or "-",
    conda:
        "../../envs/miad.yaml"
    resources:
        mem_mb=8000,
    params:
        flags=flags_of_read,
        generated=lambda wildcards, input: [f"--generated={path}" for path in [input.get("generated")] if path],
    shell:
        """
        python -m miad read {input.source:q} \
            --crystals {output.crystals:q} \
            --given {output.given:q} \
            --trajectories {output.trajectories:q} \
            --run {wildcards.run:q} \
            --hull {input.hull:q} \
            {params.generated:q} \
            {params.flags:q} \
            >{log:q} 2>&1
        """
