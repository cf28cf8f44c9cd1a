rule infuse:
    input:
        train=result("dataset", "train.jsonl.gz"),
        val=result("dataset", "val.jsonl.gz"),
    output:
        train="results/{run}/infuse/train.safetensors",
        val="results/{run}/infuse/val.safetensors",
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
