rule export:
    input:
        candidates=of("candidates", "candidates"),
        ledgers=judged("ledger"),
        rows=judged("row"),
        generated=of("sample", "crystals"),
    output:
        directory(at("export", "export")),
    log:
        "results/{run}/export.log",
    conda:
        "../../envs/miad.yaml"
    shell:
        """
        python -m miad export \
            --candidates {input.candidates:q} \
            --ledgers {input.ledgers:q} \
            --rows {input.rows:q} \
            --generated {input.generated:q} \
            --out {output:q} \
            --run {wildcards.run:q} \
            >{log:q} 2>&1
        """
