rule dataset:
    input:
        own("dataset"),
    output:
        train=at("dataset", "train"),
        val=at("dataset", "val"),
        test=at("dataset", "test"),
    log:
        "results/{run}/dataset/dataset.log",
    conda:
        "../../envs/miad.yaml"
    threads: 8
    resources:
        mem_mb=8000,
    params:
        settings=settings("dataset"),
    shell:
        """
        MIAD_CORES={threads} python -m miad dataset \
            --train {output.train:q} \
            --val {output.val:q} \
            --test {output.test:q} \
            --settings {params.settings:q} \
            >{log:q} 2>&1
        """
