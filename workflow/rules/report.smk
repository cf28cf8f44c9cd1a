rule report:
    input:
        read_by("report"),
    output:
        report(
            at("report", "report"),
            category="Report",
            labels={"figure": "the report of miad"},
            caption="../report/report.rst",
        ),
    log:
        "results/report.log",
    conda:
        "../../envs/miad.yaml"
    params:
        runs=layout.record("report", ASKED),
    shell:
        """
        python -m miad report \
            --results results \
            --out {output:q} \
            --runs {params.runs:q} \
            >{log:q} 2>&1
        """
