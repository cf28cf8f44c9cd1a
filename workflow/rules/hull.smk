rule hull:
    input:
        train=of("dataset", "train"),
        val=of("dataset", "val"),
        test=of("dataset", "test"),
        own=own("hull"),
    output:
        hull=at("hull", "hull"),
    log:
        "results/{run}/hull/hull.log",
    # Before the training: a hull that cannot be read should not be found out hours later.
    priority: 1
    conda:
        "../../envs/miad.yaml"
    resources:
        mem_mb=4000,
    params:
        settings=settings("hull"),
        frames=frames_flag,
    shell:
        """
        python -m miad hull \
            --train {input.train:q} \
            --val {input.val:q} \
            --test {input.test:q} \
            --hull {output.hull:q} \
            --settings {params.settings:q} \
            {params.frames:q} \
            >{log:q} 2>&1
        """
