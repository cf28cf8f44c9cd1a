rule dft_energies:
    input:
        ledger=ledger_of_dft,
        plan=of("dft", "plan"),
        calculations=of("vasp", "calculations"),
        generated=of("sample", "crystals"),
        train=of("dataset", "train"),
        val=of("dataset", "val"),
        test=of("dataset", "test"),
        hull=of("hull", "hull"),
        made_by=made_by,
    output:
        relaxed=at("dft", "relaxed"),
        ledger=at("dft", "ledger"),
        verdicts=at("dft", "verdicts"),
        row=at("dft", "row"),
        energies=at("dft", "energies"),
    log:
        "results/{run}/dft/energies.log",
    conda:
        "../../envs/miad.yaml"
    threads: 8
    resources:
        mem_mb=8000,
    params:
        settings=settings("dft"),
        judge=settings("sun"),
        made_by=flag_of_made_by,
    shell:
        """
        MIAD_CORES={threads} python -m miad dft-energies \
            --ledger {input.ledger:q} \
            --plan {input.plan:q} \
            --calculations {input.calculations:q} \
            --generated {input.generated:q} \
            --train {input.train:q} \
            --val {input.val:q} \
            --test {input.test:q} \
            --hull {input.hull:q} \
            --relaxed {output.relaxed:q} \
            --dft-ledger {output.ledger:q} \
            --verdicts {output.verdicts:q} \
            --row {output.row:q} \
            --energies {output.energies:q} \
            --run {wildcards.run:q} \
            {params.made_by:q} \
            --settings {params.settings:q} \
            --judge {params.judge:q} \
            >{log:q} 2>&1
        """
