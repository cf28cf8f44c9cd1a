rule sample:
    input:
        model=of("train", "model"),
        template=own("sample"),
    output:
        crystals=at("sample", "crystals"),
        trajectories=at("sample", "trajectories"),
    log:
        "results/{run}/sample/{shard}.log",
    wildcard_constraints:
        run="|".join(name for name in RUNS if name not in READ),
    conda:
        "../../envs/miad.yaml"
    threads: 8
    resources:
        mem_mb=4000,
        gpu=0,
        jobs_per_gpu=1,
    params:
        settings=settings("sample"),
        # Kept models are no outputs of train; the trained one, made after them, stands for them as the input.
        model=weights,
    shell:
        """
        MIAD_GPUS={resources.gpu} MIAD_JOBS_PER_GPU={resources.jobs_per_gpu} OMP_NUM_THREADS={threads} \
            python -m miad sample \
            --model {params.model:q} \
            --crystals {output.crystals:q} \
            --trajectories {output.trajectories:q} \
            --shard {wildcards.shard} \
            --run {wildcards.run:q} \
            --settings {params.settings:q} \
            >{log:q} 2>&1
        """
