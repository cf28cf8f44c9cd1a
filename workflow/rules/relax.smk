rule relax:
    input:
        crystals=result("sample", "{shard}.jsonl"),
    output:
        relaxed="results/{run}/relax/{calculator}/{shard}.jsonl",
    log:
        "results/{run}/relax/{calculator}/{shard}.log",
    conda:
        "../../envs/miad.yaml"
    threads: 8
    resources:
        mem_mb=8000,
    params:
        settings=settings_of_calculator,
    shell:
        """
        MIAD_CORES={threads} python -m miad relax \
            --crystals {input.crystals:q} \
            --relaxed {output.relaxed:q} \
            --calculator {wildcards.calculator:q} \
            --settings {params.settings:q} \
            >{log:q} 2>&1
        """
