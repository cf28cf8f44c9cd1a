rule figures:
    input:
        read_by("figures"),
    output:
        report(
            directory(at("figures", "figures")),
            patterns=["{name}.svg"],
            category="Figures",
            labels={"figure": "{name}"},
            caption="../report/figure.rst",
        ),
    log:
        "results/figures.log",
    conda:
        "../../envs/miad.yaml"
    params:
        runs=layout.record("figures", ASKED, EPOCHS),
        # A new file in this folder is a new figure.
        figures=sorted(path.stem for path in Path(workflow.basedir).glob("miad/report/figures/*.py")),
    shell:
        """
        python -m miad figures \
            --results results \
            --out {output:q} \
            --runs {params.runs:q} \
            >{log:q} 2>&1
        """
