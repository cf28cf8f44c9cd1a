rule metrics:
    input:
        samples=of("sample", "crystals"),
        test=of("dataset", "test"),
        own=own("metrics"),
    output:
        metrics=at("metrics", "metrics"),
        crystals=at("metrics", "crystals"),
    log:
        "results/{run}/metrics/metrics.log",
    conda:
        "../../envs/miad.yaml"
    threads: 8
    resources:
        mem_mb=8000,
    params:
        settings=settings("metrics"),
    shell:
        """
        MIAD_CORES={threads} python -m miad metrics \
            --samples {input.samples:q} \
            --test {input.test:q} \
            --metrics {output.metrics:q} \
            --crystals {output.crystals:q} \
            --run {wildcards.run:q} \
            --settings {params.settings:q} \
            >{log:q} 2>&1
        """
