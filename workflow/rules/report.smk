rule candidates:
    input:
        ledgers=of_calculators("ledger.jsonl"),
        verdicts=of_calculators("verdicts.jsonl"),
        rows=of_calculators("row.json"),
    output:
        candidates="results/{run}/candidates.csv",
        cif=directory("results/{run}/cif"),
        ledger_csv="results/{run}/ledger.csv",
        ledger_parquet="results/{run}/ledger.parquet",
    log:
        "results/{run}/candidates.log",
    conda:
        "../../envs/miad.yaml"
    shell:
        """
        python -m miad candidates \
            --ledgers {input.ledgers:q} \
            --verdicts {input.verdicts:q} \
            --rows {input.rows:q} \
            --candidates {output.candidates:q} \
            --cif {output.cif:q} \
            --ledger-csv {output.ledger_csv:q} \
            --ledger-parquet {output.ledger_parquet:q} \
            >{log:q} 2>&1
        """


rule report:
    input:
        rows=[
            f"results/{home(run, 'sun')}/sun/{calculator}/row.json"
            for run in RUNS
            for calculator in RUNS[run]["relax"]["calculators"]
        ]
        + expand("results/external/{name}/row.json", name=EXTERNAL),
        # The table points to the candidates: they are made with it, so that one target brings everything.
        candidates=expand("results/{run}/candidates.csv", run=RUNS),
    output:
        table="results/sun_table.csv",
        readable="results/sun_table.md",
    log:
        "results/report.log",
    conda:
        "../../envs/miad.yaml"
    params:
        settings=settings_json(next(iter(RUNS.values())), "report"),
    shell:
        """
        python -m miad report \
            --rows {input.rows:q} \
            --table {output.table:q} \
            --readable {output.readable:q} \
            --settings {params.settings:q} \
            >{log:q} 2>&1
        """
