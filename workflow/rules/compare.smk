rule compare:
    input:
        read_by("compare"),
    output:
        report(
            directory(at("compare", "tables")),
            patterns=["{name}.csv"],
            category="Tables",
            labels={"table": "{name}"},
            caption="../report/tables.rst",
        ),
    log:
        "results/compare.log",
    conda:
        "../../envs/miad.yaml"
    params:
        runs=layout.record("compare", ASKED),
    shell:
        """
        python -m miad compare \
            --results results \
            --out {output:q} \
            --runs {params.runs:q} \
            >{log:q} 2>&1
        """
