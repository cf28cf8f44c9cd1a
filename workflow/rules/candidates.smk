rule candidates:
    input:
        ledgers=judged("ledger"),
        verdicts=judged("verdicts"),
        rows=judged("row"),
    output:
        candidates=report(
            at("candidates", "candidates"),
            category="Candidates",
            labels={"run": "{run}"},
            caption="../report/candidates.rst",
        ),
        cif=directory(at("candidates", "cif")),
        ledger_csv=at("candidates", "ledger_csv"),
        ledger_parquet=at("candidates", "ledger_parquet"),
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
            --run {wildcards.run:q} \
            >{log:q} 2>&1
        """
