rule metrics:
    input:
        samples=shards("sample", "{shard}.jsonl"),
        test=result("dataset", "test.jsonl.gz"),
        own=own("metrics"),
    output:
        metrics="results/{run}/metrics/metrics.json",
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
            --run {wildcards.run:q} \
            --settings {params.settings:q} \
            >{log:q} 2>&1
        """


use rule metrics as metrics_external with:
    input:
        samples=as_generated,
        test=f"results/{home(MAIN, 'dataset')}/dataset/test.jsonl.gz",
        own=OWN_FILES[MAIN]["metrics"],
    output:
        metrics="results/external/{run}/metrics.json",
    log:
        "results/external/{run}/metrics.log",
    wildcard_constraints:
        run="|".join(EXTERNAL) or "-",
    params:
        settings=settings_json(RUNS[MAIN], "metrics"),


rule metrics_table:
    input:
        metrics=[f"results/{home(run, 'metrics')}/metrics/metrics.json" for run in RUNS]
        + expand("results/external/{run}/metrics.json", run=EXTERNAL),
    output:
        table="results/metrics.csv",
        readable="results/metrics.md",
    log:
        "results/metrics.log",
    conda:
        "../../envs/miad.yaml"
    shell:
        """
        python -m miad metrics-table \
            --metrics {input.metrics:q} \
            --table {output.table:q} \
            --readable {output.readable:q} \
            >{log:q} 2>&1
        """
