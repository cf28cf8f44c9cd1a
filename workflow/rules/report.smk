rule candidates:
    input:
        ledgers=of_calculators("ledger.jsonl"),
        verdicts=of_calculators("verdicts.jsonl"),
        rows=of_calculators("row.json"),
    output:
        candidates=report(
            "results/{run}/candidates.csv",
            category="Candidates",
            labels={"run": "{run}"},
            caption="../report/candidates.rst",
        ),
        cif=directory("results/{run}/cif"),
        ledger_csv="results/{run}/ledger.csv",
        ledger_parquet="results/{run}/ledger.parquet",
    log:
        "results/{run}/candidates.log",
    conda:
        "../../envs/miad.yaml"
    shell:
        """
        python -m miad candidates \
            --ledgers {input.ledgers:q} \
            --verdicts {input.verdicts:q} \
            --rows {input.rows:q} \
            --candidates {output.candidates:q} \
            --cif {output.cif:q} \
            --ledger-csv {output.ledger_csv:q} \
            --ledger-parquet {output.ledger_parquet:q} \
            --run {wildcards.run:q} \
            >{log:q} 2>&1
        """


rule export:
    input:
        candidates="results/{run}/candidates.csv",
        ledgers=of_calculators("ledger.jsonl"),
        generated=shards("sample", "{shard}.jsonl"),
    output:
        directory("results/{run}/export"),
    log:
        "results/{run}/export.log",
    conda:
        "../../envs/miad.yaml"
    shell:
        """
        python -m miad export \
            --candidates {input.candidates:q} \
            --ledgers {input.ledgers:q} \
            --generated {input.generated:q} \
            --out {output:q} \
            >{log:q} 2>&1
        """


rule report:
    input:
        rows=judged("row.json", ASKED),
        # The table points to the candidates: they are made with it, so that one target brings everything.
        candidates=expand("results/{run}/candidates.csv", run=ASKED),
    output:
        table=report("results/sun_table.csv", category="Tables", caption="../report/table.rst"),
        readable="results/sun_table.md",
    log:
        "results/report.log",
    conda:
        "../../envs/miad.yaml"
    params:
        settings=settings_json(next(iter(RUNS.values())), "report"),
        names=names_of(ASKED),
    shell:
        """
        python -m miad report \
            --rows {input.rows:q} \
            --names {params.names:q} \
            --table {output.table:q} \
            --readable {output.readable:q} \
            --settings {params.settings:q} \
            >{log:q} 2>&1
        """


rule compare:
    input:
        judged("row.json", ASKED),
        judged("verdicts.jsonl", ASKED),
    output:
        report(
            directory("results/tables"),
            patterns=["{name}.csv"],
            category="Tables",
            labels={"table": "{name}"},
            caption="../report/tables.rst",
        ),
    log:
        "results/tables.log",
    conda:
        "../../envs/miad.yaml"
    params:
        config=json.dumps(config),
    shell:
        """
        python -m miad compare \
            --results results \
            --out {output:q} \
            --config {params.config:q} \
            >{log:q} 2>&1
        """


rule figures:
    input:
        judged("row.json", RUNS),
        of_runs("{run}/candidates.csv"),
        of_runs("{run}/ledger.csv"),
        made("train", "losses.csv"),
        [
            trajectories
            for shard in range(max(sections["sample"]["num_shards"] for sections in ASKED.values()))
            for trajectories in made("sample", f"{shard}.trajectories.safetensors", shard)
        ],
    output:
        report(
            directory("results/figures"),
            patterns=["{name}.svg"],
            category="Figures",
            labels={"figure": "{name}"},
            caption="../report/figure.rst",
        ),
    log:
        "results/figures.log",
    conda:
        "../../envs/miad.yaml"
    params:
        config=json.dumps(config),
    shell:
        """
        python -m miad figures \
            --results results \
            --out {output:q} \
            --config {params.config:q} \
            >{log:q} 2>&1
        """


rule page:
    input:
        "results/sun_table.csv",
        "results/tables",
        "results/figures",
        judged("ledger.jsonl", ASKED),
        of_runs("{run}/candidates.csv"),
        of_runs("{run}/cif"),
    output:
        report(
            "results/report.html",
            category="Report",
            labels={"figure": "the report of miad"},
            caption="../report/page.rst",
        ),
    log:
        "results/page.log",
    conda:
        "../../envs/miad.yaml"
    params:
        config=json.dumps(config),
    shell:
        """
        python -m miad page \
            --results results \
            --out {output:q} \
            --config {params.config:q} \
            >{log:q} 2>&1
        """
