rule metrics_table:
    input:
        metrics=read_by("metrics_table"),
    output:
        table=at("metrics_table", "table"),
        readable=at("metrics_table", "readable"),
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
