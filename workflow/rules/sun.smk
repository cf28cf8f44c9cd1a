rule sun:
    input:
        relaxed=of("relax", "relaxed"),
        generated=of("sample", "crystals"),
        train=of("dataset", "train"),
        val=of("dataset", "val"),
        test=of("dataset", "test"),
        hull=of("hull", "hull"),
        made_by=made_by,
    output:
        ledger=at("sun", "ledger"),
        verdicts=at("sun", "verdicts"),
        row=at("sun", "row"),
    log:
        "results/{run}/sun/{calculator}/sun.log",
    conda:
        "../../envs/miad.yaml"
    threads: 8
    resources:
        mem_mb=8000,
    params:
        settings=settings("sun"),
        relaxation=relaxation,
        made_by=flag_of_made_by,
    shell:
        """
        MIAD_CORES={threads} python -m miad sun \
            --relaxed {input.relaxed:q} \
            --generated {input.generated:q} \
            --train {input.train:q} \
            --val {input.val:q} \
            --test {input.test:q} \
            --hull {input.hull:q} \
            --ledger {output.ledger:q} \
            --verdicts {output.verdicts:q} \
            --row {output.row:q} \
            --run {wildcards.run:q} \
            {params.made_by:q} \
            {params.relaxation:q} \
            --settings {params.settings:q} \
            >{log:q} 2>&1
        """
