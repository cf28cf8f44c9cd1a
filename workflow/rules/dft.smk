rule dft:
    input:
        ledger=ledger_of_dft,
    output:
        queue=at("dft", "queue"),
        plan=at("dft", "plan"),
        costs=at("dft", "costs"),
        excluded=at("dft", "excluded"),
    log:
        "results/{run}/dft/dft.log",
    conda:
        "../../envs/miad.yaml"
    params:
        settings=settings("dft"),
        vasp=settings("vasp"),
    shell:
        """
        python -m miad dft \
            --ledger {input.ledger:q} \
            --queue {output.queue:q} \
            --plan {output.plan:q} \
            --costs {output.costs:q} \
            --excluded {output.excluded:q} \
            --settings {params.settings:q} \
            --vasp {params.vasp:q} \
            >{log:q} 2>&1
        """
