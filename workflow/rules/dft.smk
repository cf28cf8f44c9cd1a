rule dft:
    input:
        ledger=ledger_of_dft,
    output:
        queue="results/{run}/dft/queue.jsonl",
        excluded="results/{run}/dft/excluded.csv",
    log:
        "results/{run}/dft/dft.log",
    conda:
        "../../envs/miad.yaml"
    params:
        settings=settings("dft"),
    shell:
        """
        python -m miad dft \
            --ledger {input.ledger:q} \
            --queue {output.queue:q} \
            --excluded {output.excluded:q} \
            --settings {params.settings:q} \
            >{log:q} 2>&1
        """
