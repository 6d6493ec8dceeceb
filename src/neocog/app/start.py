"""Where the `neocog` command begins: before anything else is loaded, Ctrl-C is made to end it without a traceback."""

import signal

# Python has its own handler by now, whose KeyboardInterrupt nobody would catch while modules are loaded. (Where the
# signal is ignored, as for a job in the background of a script, it stays so.)
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def main() -> None:
    """Run the command line."""
    from neocog.app.cli.main import main as run

    run()
