rule table:
    input:
        rows=[str(path) for _, path in layout.table_rows(ASKED)],
        # The table points to the candidates: they are made with it, so that one target brings everything.
        candidates=[str(path) for run in ASKED for path in run.files("candidates", "candidates")],
    output:
        table=report(at("table", "table"), category="Tables", caption="../report/table.rst"),
        readable=at("table", "readable"),
    log:
        "results/table.log",
    conda:
        "../../envs/miad.yaml"
    params:
        settings=settings_json(MAIN.sections, "report"),
        names=[name for name, _ in layout.table_rows(ASKED)],
    shell:
        """
        python -m miad table \
            --rows {input.rows:q} \
            --names {params.names:q} \
            --table {output.table:q} \
            --readable {output.readable:q} \
            --settings {params.settings:q} \
            >{log:q} 2>&1
        """
