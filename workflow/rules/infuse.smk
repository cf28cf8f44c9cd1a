rule infuse:
    input:
        train=of("dataset", "train"),
        val=of("dataset", "val"),
    output:
        train=at("infuse", "train"),
        val=at("infuse", "val"),
    log:
        "results/{run}/infuse/infuse.log",
    conda:
        "../../envs/miad.yaml"
    resources:
        mem_mb=4000,
    params:
        settings=settings("mirage"),
    shell:
        """
        python -m miad infuse \
            --train {input.train:q} \
            --val {input.val:q} \
            --infused-train {output.train:q} \
            --infused-val {output.val:q} \
            --settings {params.settings:q} \
            >{log:q} 2>&1
        """
