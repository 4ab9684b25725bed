"""Options of one's own on the command line, and a hook that sees all options.

``@cli_option`` makes an option; its function is called with the run before it starts. An ``@ex.option_hook`` sees the
options as they were given, and may change them before the run is built.

Try it::

    $ python options.py --help
    $ python options.py --tag=first -c "a note"
    $ python options.py --careful
    $ python options.py --careful with cores=2
"""

from sacred import Experiment, cli_option


@cli_option("-T", "--tag")
def tag(args, run):
    """Note a word with the run, to find it by."""
    run.info["tag"] = args


@cli_option("-x", "--careful", is_flag=True)
def careful(args, run):
    """Look at the configuration before it is used."""
    if run.config["cores"] > 1:
        run.run_logger.warning("%d cores, and --careful", run.config["cores"])


ex = Experiment("options", additional_cli_options=[tag, careful])


@ex.option_hook
def say_less(options):
    """With ``--careful``, show the configuration too, as ``--print-config`` does."""
    if options["--careful"]:
        options["--print-config"] = True


@ex.config
def config():
    cores = 1


@ex.automain
def main(cores, _run):
    print(f"working on {cores} core{'s' if cores > 1 else ''}, tag {_run.info.get('tag')}")
