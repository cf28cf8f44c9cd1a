rule dft:
    input:
        ledger=ledger_of_dft,
    output:
        queue="results/{run}/dft/queue.jsonl",
        excluded="results/{run}/dft/excluded.csv",
    params:
        settings=settings("dft"),
    log:
        "results/{run}/dft/dft.log",
    conda:
        "../../envs/miad.yaml"
    shell:
        """
        python -m miad dft \
            --ledger {input.ledger:q} \
            --queue {output.queue:q} \
            --excluded {output.excluded:q} \
            --settings {params.settings:q} \
            >{log:q} 2>&1
        """
