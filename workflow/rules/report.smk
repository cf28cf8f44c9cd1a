def judged(name):
    """Input function: one file of the step sun per calculator of a run."""
    return lambda wildcards: [
        f"results/{home(wildcards.run, 'sun')}/sun/{calculator}/{name}"
        for calculator in RUNS[wildcards.run]["relax"]["calculators"]
    ]


rule candidates:
    input:
        ledgers=judged("ledger.jsonl"),
        verdicts=judged("verdicts.jsonl"),
        rows=judged("row.json"),
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
            for run, sections in RUNS.items()
            for calculator in sections["relax"]["calculators"]
        ],
        candidates=[f"results/{run}/candidates.csv" for run in RUNS],
    output:
        table="results/sun_table.csv",
        readable="results/sun_table.md",
    params:
        settings=lambda wildcards: settings_json(next(iter(RUNS.values())), "report"),
    log:
        "results/report.log",
    conda:
        "../../envs/miad.yaml"
    shell:
        """
        python -m miad report \
            --rows {input.rows:q} \
            --table {output.table:q} \
            --readable {output.readable:q} \
            --settings {params.settings:q} \
            >{log:q} 2>&1
        """
