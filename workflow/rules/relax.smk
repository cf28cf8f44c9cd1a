rule relax:
    input:
        crystals=unrelaxed,
        weights=lambda wildcards: OWN_FILES[wildcards.run].get(f"relax.{wildcards.calculator}", []),
    output:
        relaxed=at("relax", "relaxed"),
    log:
        "results/{run}/relax/{calculator}/{shard}.log",
    conda:
        "../../envs/eqv2.yaml"
    threads: 8
    resources:
        mem_mb=8000,
        gpu=0,
        jobs_per_gpu=1,
    params:
        settings=settings_of_calculator,
    shell:
        """
        MIAD_GPUS={resources.gpu} MIAD_JOBS_PER_GPU={resources.jobs_per_gpu} MIAD_CORES={threads} \
            python -m miad relax \
            --crystals {input.crystals:q} \
            --relaxed {output.relaxed:q} \
            --calculator {wildcards.calculator:q} \
            --settings {params.settings:q} \
            >{log:q} 2>&1
        """
